package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	simulate "phantom/rollout/simulate"
)

// TestTheDocumentIsUpToDate fails when the tables of docs/rollouts.md were edited by hand, or when the
// tests or the plan decide differently than they did: then run
// `go run ./rollout/simulate -w docs/rollouts.md`.
func TestTheDocumentIsUpToDate(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/rollouts.md")
	require.NoError(t, err)
	_, rest, ok := bytes.Cut(document, []byte("<!-- simulation:begin -->\n"))
	require.True(t, ok)
	block, _, ok := bytes.Cut(rest, []byte("<!-- simulation:end -->\n"))
	require.True(t, ok)
	mark := bytes.LastIndex(block, []byte("<!-- simulation:fingerprint "))
	require.GreaterOrEqual(t, mark, 0)
	want, err := simulate.Fingerprint(block[:mark])
	require.NoError(t, err)
	require.Equal(t, string(want), string(block[mark:]), "run `go run ./rollout/simulate -w docs/rollouts.md` and look at the difference")
}

func TestWritesBetweenTheMarkersOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("above\n<!-- simulation:begin -->\nold\n<!-- simulation:end -->\nbelow\n"), 0o600))
	var printed bytes.Buffer
	require.NoError(t, simulate.Run([]string{"-runs", "2", "-w", path}, &printed))
	require.Empty(t, printed.String())
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(first), "old")
	require.True(t, strings.HasPrefix(string(first), "above\n<!-- simulation:begin -->\n2 rollouts a row, seed 1"))
	require.True(t, strings.HasSuffix(string(first), "-->\n<!-- simulation:end -->\nbelow\n"))

	require.NoError(t, simulate.Run([]string{"-runs", "2"}, &printed))
	require.Contains(t, string(first), printed.String(), "the same seed prints the same bytes")
}

func TestRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("no markers\n"), 0o600))
	for want, args := range map[string][]string{
		"-runs 0: at least 1 is needed": {"-runs", "0"},
		"flag provided but not defined": {"-rows", "3"},
		"no such file":                  {"-runs", "1", "-w", filepath.Join(t.TempDir(), "missing.md")},
		"there are no lines":            {"-runs", "1", "-w", page},
	} {
		require.ErrorContains(t, simulate.Run(args, &bytes.Buffer{}), want)
	}
}
