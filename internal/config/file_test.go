package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestPhantomYAMLOfTheWorkingDirectoryIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir, "phantom.yaml", `
targets:
  - {name: local, url: "http://127.0.0.1:8302/", repository: models}
  - {name: prod, kind: oip, url: "https://oip.example", repository: /srv/models, layout: phantom}
data:
  roots: [examples, /data]
artifacts:
  limit: 256MiB
limits:
  api: {per_second: 10}
operators: [acme, ops]
`)
	cfg, err := load(t, dir)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "examples"), "/data"}, cfg.File.DataRoots)
	require.EqualValues(t, 256<<20, cfg.File.ArtifactLimit)
	require.Equal(t, []config.Target{
		{Name: "local", Kind: "oip", URL: "http://127.0.0.1:8302", Repository: filepath.Join(dir, "models"), Layout: "phantom"},
		{Name: "prod", Kind: "oip", URL: "https://oip.example", Repository: "/srv/models", Layout: "phantom"},
	}, cfg.File.Targets)
	require.Equal(t, config.Limits{API: config.Limit{PerSecond: 10, Burst: 20}, Gateway: config.Limit{PerSecond: 5000, Burst: 10_000}}, cfg.File.Limits)
	require.Equal(t, []string{"acme", "ops"}, cfg.File.Operators)
	_, found := cfg.File.Target("prod")
	require.True(t, found)
	_, found = cfg.File.Target("moon")
	require.False(t, found)
}

func TestAFileThatSaysNothingLeavesTheDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "data: {}\n"} {
		dir := t.TempDir()
		path := writeFile(t, dir, "elsewhere/p.yaml", text)
		cfg, err := load(t, dir, "PHANTOM_CONFIG="+path)
		require.NoError(t, err, text)
		require.Equal(t, "local", cfg.File.Targets[0].Name)
		require.Equal(t, []string{dir}, cfg.File.DataRoots)
		require.EqualValues(t, 1<<30, cfg.File.ArtifactLimit)
		require.Equal(t, []string{"default"}, cfg.File.Operators)
	}
	dir := t.TempDir()
	writeFile(t, dir, "phantom.yaml", "operators: []\n")
	cfg, err := load(t, dir)
	require.NoError(t, err)
	require.Empty(t, cfg.File.Operators, "an empty list is nobody")
}

func TestAWrongFileNamesTheField(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"tragets: []":                       `[1:1] unknown field "tragets"`,
		"targets: 7":                        `[1:10]`,
		"artifacts: {limit: much}":          `artifacts.limit is "much": accepted is a size up to 1GiB`,
		"artifacts: {limit: 2GiB}":          `artifacts.limit is "2GiB"`,
		"artifacts: {limit: 0}":             `artifacts.limit is "0"`,
		"trainers: {sklearn: {}}":           "trainers is not available yet",
		"policies: {}":                      "policies is not available yet",
		"data: {hosts: [a]}":                "data.hosts is not available yet",
		"targets: [{name: Local}]":          `targets[0].name is "Local"`,
		"limits: {api: {per_second: -1}}":   "limits.api.per_second is -1: accepted is 0",
		"limits: {gateway: {burst: -1}}":    "limits.gateway.burst is -1",
		"limits: {api: {per_second: .nan}}": "limits.api.per_second is NaN",
		"operators: [acme, Ops]":            `operators[1] is "Ops": accepted is a tenant`,
		"limits: {webhook: {}}":             `unknown field "webhook"`,
		"targets: [{name: a, kind: x, url: 'http://h', repository: r}]":                                              `targets[0].kind is "x": accepted is oip`,
		"targets: [{name: a, url: 'h:1', repository: r}]":                                                            `targets[0].url is "h:1"`,
		"targets: [{name: a, url: 'http://h', repository: r, layout: triton}]":                                       `not available yet`,
		"targets: [{name: a, url: 'http://h', repository: r, layout: flat}]":                                         `targets[0].layout is "flat"`,
		"targets: [{name: a, url: 'http://h'}]":                                                                      `targets[0].repository is ""`,
		"targets: [{name: a, url: 'http://h', repository: 's3://b'}]":                                                `URLs are not available yet`,
		"targets: [{name: a, url: 'http://h', repository: r}, {name: a, url: 'http://h', repository: r}]":            `targets[1].name is "a": accepted is a name that no other`,
		"targets: [{name: a, url: 'http://h', repository: r, secret: 1}]":                                            `unknown field "secret"`,
		"targets: [{name: A, url: 'http://h', repository: r}, {name: a, url: 'ftp://u:secret@h', repository: r}]\n#": `targets[1].url is "ftp://u:xxxxx@h"`,
	}
	for text, want := range cases {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFile(t, dir, "phantom.yaml", text)
			_, err := load(t, dir)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, `PHANTOM_CONFIG is "phantom.yaml"`)
		})
	}
}

func TestThePrivateStackGivesDefaultsAndVariablesWin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir, ".phantom/stack.json", `{
		"postgres": {"admin_url": "postgres://a@h/p", "owner_url": "postgres://o@h/p", "serving_url": "postgres://s@h/p"},
		"temporal": {"address": "127.0.0.1:7999", "namespace": "default", "ui_url": ""},
		"phantom": {"api_url": "http://127.0.0.1:8399"}}`)

	cfg, err := load(t, dir)
	require.NoError(t, err)
	require.Equal(t, "postgres://s@h/p", cfg.DatabaseURL)
	require.Equal(t, "postgres://o@h/p", cfg.MigrateURL)
	require.Equal(t, "127.0.0.1:7999", cfg.StackTemporal)
	require.Equal(t, "http://127.0.0.1:8399", cfg.CLI.URL)

	cfg, err = load(t, dir, "DATABASE_URL=postgres://mine@h/p")
	require.NoError(t, err)
	require.Equal(t, "postgres://mine@h/p", cfg.DatabaseURL)
	require.Empty(t, cfg.MigrateURL, "the private owner may not migrate a foreign database")
}

func TestABrokenStackFileStopsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := writeFile(t, dir, ".phantom/stack.json", `{`)
	_, err := load(t, dir)
	require.ErrorContains(t, err, path)
}

func TestTheTestStackIsNamedByItsVariable(t *testing.T) {
	t.Setenv("PHANTOM_TEST_STACK", "")
	_, err := config.TestStack()
	require.ErrorContains(t, err, "make test")

	t.Setenv("PHANTOM_TEST_STACK", writeFile(t, t.TempDir(), "s.json", `{"temporal": {"address": "h:1"}}`))
	stack, err := config.TestStack()
	require.NoError(t, err)
	require.Equal(t, "h:1", stack.Temporal.Address)
}
