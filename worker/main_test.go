package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

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

// stopped is a Temporal worker that knows whether it was stopped.
type stopped struct {
	worker.Worker
	is bool
}

func (*stopped) Start() error { return nil }
func (s *stopped) Stop()      { s.is = true }

// A worker that the server refuses for good polls no more; the process does not go on as if it did.
func TestAWorkerThatDiedEndsItsRole(t *testing.T) {
	t.Parallel()
	p := &parts{ready: newReadiness(config.Roles{config.RoleTraining}), namespace: "gone"}
	died := make(chan error, 1)
	died <- errors.New("namespace not found")
	w := &stopped{}
	require.ErrorContains(t, p.work(t.Context(), polling{w, died}, config.RoleTraining), "namespace gone any more: namespace not found")
	require.True(t, w.is)
}

// Projections apply while Temporal is away, so their role stays ready.
func TestARoleStaysReadyForWhatItServesWithout(t *testing.T) {
	t.Parallel()
	p := &parts{ready: newReadiness(config.Roles{config.RoleProjections, config.RoleAPI}), log: zap.NewNop()}
	p.ready.is(config.RoleProjections)
	tries := 0
	away := func(context.Context) (bool, error) {
		if tries++; tries%2 == 1 {
			return false, errors.New("away")
		}
		return false, nil
	}
	require.NoError(t, p.patiently(t.Context(), config.RoleProjections, "Temporal", away))
	require.NoError(t, p.until(t.Context(), config.RoleAPI, "PostgreSQL", away))
	require.Equal(t, []string{"api: waits for PostgreSQL"}, p.ready.missing())
}
