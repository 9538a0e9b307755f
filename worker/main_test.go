package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/internal/config"
)

func TestWrongUsageAndMissingOwnerAreTold(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown command", []string{"dance"}, 2, "dance"},
		{"unknown flag", []string{"--dance"}, 2, "dance"},
		{"no owner", []string{"migrate", "up"}, 1, "PHANTOM_MIGRATE_URL is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			t.Setenv("PHANTOM_MIGRATE_URL", "")
			var out, errs bytes.Buffer
			require.Equal(t, c.code, run(t.Context(), c.args, &out, &errs))
			require.Contains(t, errs.String(), c.says)
		})
	}
}

func TestDataIsReadUnderTheAllowedRootsOnly(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "in.csv"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "out.csv"), nil, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(outside, "out.csv"), filepath.Join(root, "link.csv")))
	d := datasets{roots: []string{root}}
	resolved, err := filepath.EvalSymlinks(filepath.Join(root, "in.csv"))
	require.NoError(t, err)
	for _, uri := range []string{filepath.Join(root, "in.csv"), "file://" + filepath.Join(root, "in.csv")} {
		path, err := d.allowed(uri)
		require.NoError(t, err, uri)
		require.Equal(t, resolved, path)
	}
	for _, uri := range []string{
		filepath.Join(outside, "out.csv"), filepath.Join(root, "link.csv"), filepath.Join(root, "..", "x.csv"),
		"file://elsewhere/in.csv", "https://example.org/in.csv", "s3://bucket/in.csv", root + "-beside/in.csv",
	} {
		_, err := d.allowed(uri)
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, uri)
		require.Equal(t, "uri", bad.Field)
	}
}

func TestReadyMeansEveryRole(t *testing.T) {
	t.Parallel()
	r := newReadiness(config.Roles{config.RoleAPI, config.RoleGateway})
	handler := operations(r)
	ask := func(path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return answer
	}
	r.is(config.RoleGateway)
	r.not(config.RoleAPI, "waits for PostgreSQL")
	require.Equal(t, http.StatusServiceUnavailable, ask("/readyz").Code)
	require.Equal(t, "api: waits for PostgreSQL\n", ask("/readyz").Body.String())
	require.Equal(t, http.StatusOK, ask("/healthz").Code)
	r.is(config.RoleAPI)
	require.Equal(t, http.StatusOK, ask("/readyz").Code)
	require.Contains(t, ask("/metrics").Body.String(), "go_goroutines")
}
