package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"phantom/access"
	"phantom/api"
	"phantom/workflows"
)

var update = flag.Bool("update", false, "write openapi.json") //nolint:gochecknoglobals // a flag of the test binary

// described is the description that the API gives of itself.
func described(t *testing.T) []byte {
	t.Helper()
	answer := httptest.NewRecorder()
	api.New(api.Params{Version: "0", Log: zap.NewNop()}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", http.NoBody))
	require.Equal(t, http.StatusOK, answer.Code)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, answer.Body.Bytes(), "", "  "))
	return append(indented.Bytes(), '\n')
}

// The description is a promise: a change of it is seen in review. -update writes it.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	now := described(t)
	if *update {
		require.NoError(t, os.WriteFile("openapi.json", now, 0o644))
	}
	kept, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(kept), string(now), "run: go test ./api -run TestOpenAPI -update")
	require.Contains(t, string(now), `"openapi": "3.1.0"`)
	for _, absent := range []string{"$schema", "ErrorModel", `"actor"`, "profile", "entrypoint", "num_cpus"} {
		require.NotContains(t, string(now), absent)
	}
}

// document is what tests need of the description.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name, In string } `json:"parameters"`
	} `json:"paths"`
}

// routes are all operations, as "GET /api/v1/models".
func routes(t *testing.T) []string {
	t.Helper()
	var doc document
	require.NoError(t, json.Unmarshal(described(t), &doc))
	var all []string
	for path, methods := range doc.Paths {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	require.Greater(t, len(all), 25)
	return all
}

// routed is the route that a request takes, or empty.
func (r request) routed(t *testing.T) string {
	t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	path, _, _ := strings.Cut(r.path, "?")
	best := ""
	for _, route := range routes(t) {
		of, template, _ := strings.Cut(route, " ")
		form := "^" + regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(template, "[^/]+") + "$"
		if of == method && regexp.MustCompile(form).MatchString(path) && (best == "" || strings.Count(route, "{") < strings.Count(best, "{")) {
			best = route
		}
	}
	return best
}

// Every read gives another tenant nothing: not found where an id is named, else an empty list.
func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	made := h.furnish()
	h.key(h.tenant, access.Viewer)
	saga := text(h.start(http.MethodPost, "/api/v1/models/digits/deployments", "", object{"version": "2", "target": "local"}).as(http.StatusAccepted)["saga_id"])
	fill := strings.NewReplacer("{model_id}", "digits", "{version}", "1", "{job}", made.job, "{rollout}", made.rollout, "{saga_id}", saga,
		"{alias}", "champion", "{digest}", artifactOf("a"))
	require.Eventually(t, func() bool { return len(h.get("/api/v1/sagas").items()) == 1 }, patience, poll)
	for _, route := range routes(t) {
		method, path, _ := strings.Cut(route, " ")
		if method != http.MethodGet || strings.HasPrefix(path, "/api/v1/projections") { // everybody's, with one's own positions: see TestProjectionsShowATenantItsOwn
			continue
		}
		address := fill.Replace(path)
		if path == "/api/v1/search" {
			address += "?q=digits"
		}
		own := h.get(address)
		require.Equal(t, http.StatusOK, own.status, "%s %s", route, own.body)
		other := h.do(request{path: address, header: map[string]string{api.HeaderTenant: string(h.tenant) + "-other"}})
		if strings.Contains(path, "{") {
			other.problem(http.StatusNotFound, "not_found")
			continue
		}
		require.NotEmpty(t, own.items(), route)
		require.Empty(t, other.items(), route)
		require.Equal(t, "0", other.header.Get("Phantom-Position"), route)
	}
}

func TestDocsStandAlone(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	api.New(api.Params{Version: "0", Log: zap.NewNop()}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/docs", http.NoBody))
	require.Equal(t, http.StatusOK, answer.Code)
	page := answer.Body.String()
	require.NotContains(t, page, "http://")
	require.NotContains(t, page, "https://")
	require.NotContains(t, page, "<script")
	for _, route := range routes(t) {
		_, path, _ := strings.Cut(route, " ")
		require.Contains(t, page, "<code>"+path+"</code>")
	}
	require.Contains(t, answer.Header().Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"))
	require.NotEmpty(t, answer.Header().Get("X-Request-Id"))
}

// The search attributes that sagas are started with and found by are those that the sagas have.
func TestSearchAttributesAreTheSagas(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"MLTenant", "MLModelID", "MLRunKind", "MLTarget", "MLModelVersion"} {
		require.Contains(t, workflows.SearchAttributes(), name)
	}
}
