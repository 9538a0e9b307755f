package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
)

// TestTheCommandsOfSecureWork runs what docs/secure.md tells an operator to type.
func TestTheCommandsOfSecureWork(t *testing.T) {
	text, err := os.ReadFile("../docs/secure.md")
	require.NoError(t, err)
	db := pgtest.New(t)
	t.Chdir(t.TempDir())
	t.Setenv("PHANTOM_MIGRATE_URL", db.OwnerURL)
	ran := 0
	for line := range strings.Lines(string(text)) {
		command, is := strings.CutPrefix(line, "phantom-worker ")
		if !is {
			continue
		}
		var args []string
		for i, part := range strings.Split(strings.TrimSpace(command), `"`) {
			if i%2 == 1 { // between quotation marks
				args = append(args, part)
			} else {
				args = append(args, strings.Fields(part)...)
			}
		}
		var out, errs bytes.Buffer
		require.Zero(t, run(t.Context(), args, &out, &errs), "%s: %s", line, errs.String())
		require.Contains(t, out.String(), "no key was left to destroy")
		ran++
	}
	require.Equal(t, 3, ran)
}
