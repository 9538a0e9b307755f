package main_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

// checkup is what doctor -o json says of each part.
func checkup(t *testing.T, r result) map[string][2]string {
	t.Helper()
	var findings []struct{ Check, State, Detail, Advice string }
	require.NoError(t, json.Unmarshal([]byte(r.out), &findings), r)
	states := map[string][2]string{}
	for _, f := range findings {
		require.NotEmpty(t, f.Detail, f.Check)
		require.True(t, f.State == "ok" || f.Advice != "", "%s says what to do", f.Check)
		states[f.Check] = [2]string{f.State, f.Detail}
	}
	return states
}

// well is a server where everything answers; ready and version can be others.
func well(t *testing.T, version string, at time.Time, ready int) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.Format(http.TimeFormat))
		_, _ = w.Write([]byte(`{"info":{"title":"Phantom","version":"` + version + `"}}`))
	})
	mux.HandleFunc("GET /api/v1/models", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items":[]}`)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(ready)
		_, _ = w.Write([]byte("gateway: waits for PostgreSQL\n"))
	})
	mux.HandleFunc("GET /v2/health/ready", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready) })
	return serve(t, mux)
}

// around are the addresses of a Phantom at one address, with the stack's Temporal.
func around(t *testing.T, url string) command {
	t.Helper()
	stack, err := config.TestStack()
	require.NoError(t, err)
	address := strings.TrimPrefix(url, "http://")
	return command{environ: []string{
		"PHANTOM_GATEWAY_ADDR=" + address, "PHANTOM_METRICS_ADDR=" + address,
		"TEMPORAL_ADDRESS=" + stack.Temporal.Address, "TEMPORAL_CONFIG_FILE=/nowhere.toml",
	}}
}

func TestDoctorFindsEverythingWell(t *testing.T) {
	t.Parallel()
	url := well(t, "devel", now(), http.StatusOK)
	r := around(t, url).run(t.Context(), t, url, "doctor", "-o", "json")
	require.Equal(t, 0, r.status, r)
	states := checkup(t, r)
	for _, check := range []string{"API", "versions", "clock", "database", "worker", "gateway", "Temporal"} {
		require.Equal(t, "ok", states[check][0], "%s: %s", check, states[check][1])
	}
	require.Contains(t, states, "disk")
	require.Regexp(t, `version 1\.\d+`, states["Temporal"][1])
}

func TestDoctorWarnsWithoutFailing(t *testing.T) {
	t.Parallel()
	url := well(t, "v9", now().Add(-time.Hour), http.StatusOK)
	r := around(t, url).run(t.Context(), t, url, "doctor", "-o", "json")
	require.Equal(t, 0, r.status, r)
	states := checkup(t, r)
	require.Equal(t, [2]string{"warning", "phantom is devel, the server v9"}, states["versions"])
	require.Equal(t, [2]string{"warning", "this machine and the server are 59m59s apart"}, states["clock"])
}

func TestDoctorSaysWhatIsNotReady(t *testing.T) {
	t.Parallel()
	url := well(t, "devel", now(), http.StatusServiceUnavailable)
	r := around(t, url).run(t.Context(), t, url, "doctor", "-o", "json")
	require.Equal(t, 5, r.status, r)
	states := checkup(t, r)
	require.Equal(t, [2]string{"bad", "not ready: gateway: waits for PostgreSQL"}, states["worker"])
	require.Equal(t, "bad", states["gateway"][0])
	require.Equal(t, "phantom: not well: worker, gateway\n", r.errs)
}

func TestDoctorLooksAtEachPartThoughAllAreAway(t *testing.T) {
	t.Parallel()
	c := command{environ: []string{
		"PHANTOM_GATEWAY_ADDR=127.0.0.1:1", "PHANTOM_METRICS_ADDR=:1", "TEMPORAL_ADDRESS=127.0.0.1:1", "TEMPORAL_CONFIG_FILE=/nowhere.toml",
	}}
	r := c.run(t.Context(), t, "http://127.0.0.1:1", "doctor", "-o", "json")
	require.Equal(t, 5, r.status, r)
	require.Equal(t, "phantom: not well: API, database, gateway, Temporal\n", r.errs)
	states := checkup(t, r)
	require.Equal(t, "warning", states["worker"][0], "operators may keep that address to themselves")

	r = c.run(t.Context(), t, "http://127.0.0.1:1", "doctor")
	require.Contains(t, r.out, "CHECK ")
	require.Contains(t, r.out, "`make up` starts one")
}

func TestDoctorTellsAnotherServerFromPhantom(t *testing.T) {
	t.Parallel()
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	r := around(t, url).run(t.Context(), t, url, "doctor", "-o", "json")
	require.Equal(t, 5, r.status, r)
	require.Equal(t, [2]string{"bad", "something else than Phantom answers at " + url}, checkup(t, r)["API"])
}
