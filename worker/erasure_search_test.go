package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
)

// requireOnlyInTables looks through every table of the database, the catalogue's too. TOAST is read with the rows that it belongs to.
func (h *erasureHouse) requireOnlyInTables(t *testing.T, secrets []string, control string) {
	t.Helper()
	admin := pgtest.Pool(t, h.db.AdminURL)
	rows, err := admin.Query(t.Context(), `select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'm')`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 80)
	held := 0
	for _, table := range tables {
		var secret, controls int
		require.NoError(t, admin.QueryRow(t.Context(), `select count(*) filter (where r::text ~* $1), count(*) filter (where r::text ~ $2) from `+table+` r`,
			strings.Join(quoted(secrets), "|"), control).Scan(&secret, &controls), table)
		require.Zero(t, secret, table)
		held += controls
	}
	require.Positive(t, held)
}

// quoted escapes what base64 has of a regular expression's.
func quoted(texts []string) []string {
	safe := make([]string, len(texts))
	for i, text := range texts {
		safe[i] = strings.ReplaceAll(text, "+", `\+`)
	}
	return safe
}

func (h *erasureHouse) requireOnlyInDump(t *testing.T, secrets []string, control string) {
	t.Helper()
	program, err := exec.LookPath("pg_dump")
	if err != nil {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		require.NoError(t, err)
		if len(found) == 0 {
			t.Log("no pg_dump is on PATH or under /usr/lib/postgresql: the dump is not looked at")
			return
		}
		slices.Sort(found)
		program = found[len(found)-1]
	}
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), program, "--dbname", h.db.AdminURL)
	command.Stderr = &problems
	dump, err := command.Output()
	if strings.Contains(problems.String(), "server version mismatch") {
		t.Logf("%s is older than the server: the dump is not looked at", program)
		return
	}
	require.NoError(t, err, problems.String())
	require.Contains(t, string(dump), control)
	for _, secret := range secrets {
		require.NotContains(t, string(dump), secret)
	}
}

// requireOnlyInFiles looks through the state folder and the cluster's data directory, WAL included, but the
// folders of other databases: other tests write those.
func (h *erasureHouse) requireOnlyInFiles(t *testing.T, secrets []string, control string) {
	t.Helper()
	admin := pgtest.Pool(t, h.db.AdminURL)
	_, err := admin.Exec(t.Context(), "checkpoint")
	require.NoError(t, err)
	var data, own string
	require.NoError(t, admin.QueryRow(t.Context(), `select current_setting('data_directory'), oid::text from pg_database where datname = current_database()`).
		Scan(&data, &own))
	if _, err := os.ReadDir(data); err != nil {
		t.Logf("the files of PostgreSQL are not here, or not for this user: %v", err)
		data = h.state
	}
	held := 0
	for _, folder := range []string{h.state, data} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err == nil && entry.IsDir() && filepath.Base(filepath.Dir(path)) == "base" && entry.Name() != own:
				return filepath.SkipDir
			case err != nil || !entry.Type().IsRegular():
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			for _, secret := range secrets {
				require.False(t, bytes.Contains(content, []byte(secret)), "%s holds %s", path, secret)
			}
			held += bytes.Count(content, []byte(control))
			return err
		}))
	}
	require.True(t, held > 0 || data == h.state)
}
