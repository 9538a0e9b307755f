package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	main "phantom/starter"
)

func TestAuditIsHandedOnToTheWorkerBesideIt(t *testing.T) {
	t.Parallel()
	run := func(beside string, args ...string) (status int, out, errs string) {
		var outs, errors bytes.Buffer
		program := main.Program{Folder: t.TempDir(), Beside: beside, Out: &outs, Errs: &errors}
		status = program.Run(t.Context(), args...)
		return status, outs.String(), errors.String()
	}
	empty := t.TempDir()
	status, _, errs := run(empty, "audit", "verify")
	require.Equal(t, 1, status)
	require.Contains(t, errs, "there is none in "+empty)

	beside := t.TempDir()
	script := "#!/bin/sh\necho \"$@\"\necho said >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(beside, "phantom-worker"), []byte(script), 0o700))
	status, out, errs := run(beside, "audit", "verify", "--tenant", "acme", "--log", "inference", "-o", "json")
	require.Equal(t, 1, status)
	require.Equal(t, "audit verify --output json --tenant acme --log inference\n", out)
	require.Equal(t, "said\n", errs, "the worker speaks for itself")
	_, out, _ = run(beside, "audit", "verify")
	require.Equal(t, "audit verify --output table\n", out, "all tenants")
}
