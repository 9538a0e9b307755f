package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

func load(t *testing.T, dir string, environ ...string) (config.Config, error) {
	t.Helper()
	return config.LoadIn(dir, config.In(environ))
}

func TestDefaultsOfAnEmptyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg, err := load(t, dir)
	require.NoError(t, err)
	require.Equal(t, config.Config{
		StateDir:        filepath.Join(dir, ".phantom"),
		ArtifactsURL:    "file://" + filepath.Join(dir, ".phantom/artifacts"),
		KeysURL:         "file://" + filepath.Join(dir, ".phantom/keys/master.key"),
		APIAddr:         "127.0.0.1:8300",
		GatewayAddr:     "127.0.0.1:8301",
		ModelServerAddr: "127.0.0.1:8302",
		MetricsAddr:     "127.0.0.1:9464",
		Roles:           config.AllRoles(),
		Auth:            config.AuthOff,
		File: config.File{
			DataRoots: []string{dir}, ArtifactLimit: 1 << 30,
			Limits:    config.Limits{API: config.Limit{PerSecond: 500, Burst: 1000}, Gateway: config.Limit{PerSecond: 5000, Burst: 10_000}},
			Operators: []string{"default"},
			Targets: []config.Target{{
				Name: "local", Kind: "oip", URL: "http://127.0.0.1:8302",
				Repository: filepath.Join(dir, ".phantom/models"), Layout: "phantom",
			}},
		},
		CLI: config.CLI{URL: "http://127.0.0.1:8300", Tenant: "default"},
		Log: config.Log{Level: "info", Format: config.LogAuto},
	}, cfg)
}

func TestEveryVariableIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pem := filepath.Join(dir, "x.pem")
	require.NoError(t, os.WriteFile(pem, nil, 0o600))
	cfg, err := load(t, dir,
		"DATABASE_URL=postgres://phantom:s@db/phantom", "PHANTOM_MIGRATE_URL=host=db user=phantom_owner",
		"PHANTOM_ARTIFACTS_URL=s3://bucket?region=eu", "PHANTOM_KEYS_URL=awskms://key",
		"PHANTOM_API_ADDR=[::1]:1", "PHANTOM_GATEWAY_ADDR=localhost:2", "PHANTOM_MODELSERVER_ADDR=127.0.0.9:3",
		"PHANTOM_METRICS_ADDR=:4", "PHANTOM_TLS_CERT="+pem, "PHANTOM_TLS_KEY="+pem,
		"PHANTOM_ROLES=api, gateway,api", "PHANTOM_AUTH=off", "PHANTOM_URL=https://phantom.example/",
		"PHANTOM_API_KEY=k", "PHANTOM_TENANT=acme", "NO_COLOR=1", "PHANTOM_LOG_LEVEL=debug", "PHANTOM_LOG_FORMAT=json")
	require.NoError(t, err)
	require.Equal(t, "postgres://phantom:s@db/phantom", cfg.DatabaseURL)
	require.Equal(t, "host=db user=phantom_owner", cfg.MigrateURL)
	require.Equal(t, "s3://bucket?region=eu", cfg.ArtifactsURL)
	require.Equal(t, "awskms://key", cfg.KeysURL)
	require.Equal(t, []string{"[::1]:1", "localhost:2", "127.0.0.9:3", ":4"},
		[]string{cfg.APIAddr, cfg.GatewayAddr, cfg.ModelServerAddr, cfg.MetricsAddr})
	require.True(t, cfg.TLS.On())
	require.Equal(t, "api,gateway", cfg.Roles.String())
	require.True(t, cfg.Roles.Has(config.RoleAPI))
	require.False(t, cfg.Roles.Has(config.RoleTraining))
	require.Equal(t, config.CLI{URL: "https://phantom.example", APIKey: "k", Tenant: "acme", NoColor: true}, cfg.CLI)
	require.Equal(t, config.Log{Level: "debug", Format: config.LogJSON}, cfg.Log)
}

func TestAWrongValueIsOneLineThatNamesIt(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"DATABASE_URL=mysql://a:secret@h/b":        `DATABASE_URL is "mysql://a:xxxxx@h/b": accepted is postgres://`,
		"DATABASE_URL=postgres://a:se/c@ret@h:x/b": `DATABASE_URL is "postgres://a:xxxxx@h:x/b": accepted is postgres://`,
		"PHANTOM_MIGRATE_URL=nonsense":             `PHANTOM_MIGRATE_URL is "nonsense": accepted is postgres://`,
		"PHANTOM_ARTIFACTS_URL=ftp://x":            `PHANTOM_ARTIFACTS_URL is "ftp://x": accepted is a URL that starts with file://`,
		"PHANTOM_KEYS_URL=plain":                   `PHANTOM_KEYS_URL is "plain": accepted is a URL`,
		"PHANTOM_API_ADDR=8300":                    `PHANTOM_API_ADDR is "8300": accepted is host:port`,
		"PHANTOM_GATEWAY_ADDR=127.0.0.1:99999":     `PHANTOM_GATEWAY_ADDR is "127.0.0.1:99999": accepted is host:port`,
		"PHANTOM_API_ADDR=0.0.0.0:8300":            `PHANTOM_API_ADDR is "0.0.0.0:8300": accepted is a loopback address`,
		"PHANTOM_GATEWAY_ADDR=:8301":               `PHANTOM_GATEWAY_ADDR is ":8301": accepted is a loopback address`,
		"PHANTOM_MODELSERVER_ADDR=10.0.0.1:8302":   `PHANTOM_MODELSERVER_ADDR is "10.0.0.1:8302": accepted is a loopback`,
		"PHANTOM_TLS_CERT=/nowhere.pem":            `PHANTOM_TLS_CERT is "/nowhere.pem": accepted is a file that exists`,
		"PHANTOM_ROLES=api,cook":                   `PHANTOM_ROLES is "api,cook": accepted is all, or of workflows,`,
		"PHANTOM_AUTH=on":                          `PHANTOM_AUTH is "on": accepted is off, keys`,
		"PHANTOM_MODELSERVER_TOKEN=secret":         `PHANTOM_MODELSERVER_TOKEN is "…": accepted is at least 32`,
		"PHANTOM_CONFIG=/nowhere.yaml":             `PHANTOM_CONFIG is "/nowhere.yaml": accepted is a YAML file`,
		"PHANTOM_URL=phantom":                      `PHANTOM_URL is "phantom": accepted is a URL`,
		"PHANTOM_TENANT=Acme":                      `PHANTOM_TENANT is "Acme": accepted is 1 to 63 of a-z`,
		"PHANTOM_LOG_LEVEL=loud":                   `PHANTOM_LOG_LEVEL is "loud": accepted is debug, info, warn, error`,
		"PHANTOM_LOG_FORMAT=xml":                   `PHANTOM_LOG_FORMAT is "xml": accepted is console, json`,
	}
	for setting, want := range cases {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, t.TempDir(), setting)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "ret@")
		})
	}
}

func TestSeveralWrongValuesAreSeveralLines(t *testing.T) {
	t.Parallel()
	_, err := load(t, t.TempDir(), "PHANTOM_AUTH=on", "PHANTOM_LOG_LEVEL=loud", "PHANTOM_TENANT=A")
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
}

func TestAnOpenAddressIsOfNoAccountWithoutItsRole(t *testing.T) {
	t.Parallel()
	_, err := load(t, t.TempDir(), "PHANTOM_API_ADDR=0.0.0.0:8300", "PHANTOM_ROLES=workflows,training")
	require.NoError(t, err)
}

func TestWithKeysAnyAddressIsTaken(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, t.TempDir(), "PHANTOM_AUTH=keys", "PHANTOM_API_ADDR=0.0.0.0:8300", "PHANTOM_MODELSERVER_ADDR=:8302")
	require.NoError(t, err)
	require.Equal(t, config.AuthKeys, cfg.Auth)
}

func TestWhoRunsApartNeedsTheModelServersToken(t *testing.T) {
	t.Parallel()
	for _, roles := range []string{"modelserver", "gateway", "activities,training", "gateway,modelserver"} {
		_, err := load(t, t.TempDir(), "PHANTOM_AUTH=keys", "PHANTOM_ROLES="+roles)
		require.ErrorContains(t, err, "PHANTOM_MODELSERVER_TOKEN", roles)
		cfg, err := load(t, t.TempDir(), "PHANTOM_AUTH=keys", "PHANTOM_ROLES="+roles, "PHANTOM_MODELSERVER_TOKEN="+strings.Repeat("s", 32))
		require.NoError(t, err, roles)
		require.Equal(t, strings.Repeat("s", 32), cfg.ModelServerToken)
	}
	for _, roles := range []string{"all", "api", "training,projections", "workflows,gateway,modelserver"} {
		_, err := load(t, t.TempDir(), "PHANTOM_AUTH=keys", "PHANTOM_ROLES="+roles)
		require.NoError(t, err, roles)
	}
}

func TestAnEmptyVariableIsNotSet(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, t.TempDir(), "PHANTOM_API_ADDR=", "PHANTOM_AUTH=", "PHANTOM_CONFIG=", "NO_COLOR=")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8300", cfg.APIAddr)
	require.False(t, cfg.CLI.NoColor)
}

func TestTheLastLineOfAVariableWins(t *testing.T) {
	t.Parallel()
	value, ok := config.In([]string{"A=1", "B=2", "A=3=4"})("A")
	require.True(t, ok)
	require.Equal(t, "3=4", value)
}
