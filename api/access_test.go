package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/access"
	"phantom/api"
	"phantom/domain"
)

// withKeys wants an API key with every request.
func withKeys(limit access.Limit) change {
	return func(h *house, p *api.Params) {
		p.Verifier = access.NewVerifier(access.VerifierParams{Pool: h.pool, Limit: limit})
		p.Operators = []domain.Tenant{h.tenant}
	}
}

// key makes a key of a tenant.
func (h *house) key(tenant domain.Tenant, role access.Role) (id, token string) {
	h.t.Helper()
	key, token, err := h.params.Keys.Create(h.t.Context(), tenant, access.Params{Name: string(role) + " of " + string(tenant), Role: role, By: "root"})
	require.NoError(h.t, err)
	return key.KeyID, token
}

// by sends a request with a key, and says nothing else of who asks.
func by(token string, r request) request {
	header := maps.Clone(r.header)
	if header == nil {
		header = map[string]string{}
	}
	header["Authorization"], header[api.HeaderTenant], header[api.HeaderActor] = "Bearer "+token, "", ""
	r.header = header
	return r
}

// operations are the ids of all operations, by "GET /api/v1/models".
func operations(t *testing.T) map[string]string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"` //nolint:tagliatelle // OpenAPI's own spelling
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(described(t), &doc))
	found := map[string]string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			found[strings.ToUpper(method)+" "+path] = op.OperationID
		}
	}
	return found
}

func TestEveryOperationDeclaresItsRole(t *testing.T) {
	t.Parallel()
	declared := slices.Sorted(maps.Keys(api.OperationRoles()))
	require.Equal(t, slices.Sorted(maps.Values(operations(t))), declared, "see operationRoles")
	for operation, role := range api.OperationRoles() {
		require.True(t, role.Valid(), operation)
	}
}

// Every role at every operation: who may gets in, who may not is told so, and nobody gets in without a key.
func TestRoles(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	fill := strings.NewReplacer("{model_id}", "nope", "{version}", "1", "{job}", job, "{rollout}", job, "{saga_id}", "train:x:nope:a", "{target}", "local",
		"{key_id}", "aaaaaaaaaaaaaaaa", "{alias}", "champion", "{digest}", artifactOf("a"), "{name}", "catalogue")
	tokens := map[access.Role]string{}
	for _, role := range access.Roles() {
		_, tokens[role] = h.key(h.tenant, role)
	}
	for route, operation := range operations(t) {
		method, path, _ := strings.Cut(route, " ")
		ask := request{method: method, path: fill.Replace(path)}
		if method != http.MethodGet && method != http.MethodDelete {
			ask.body = object{}
		}
		stranger := by("", ask)
		delete(stranger.header, "Authorization")
		answer := h.do(stranger)
		answer.problem(http.StatusUnauthorized, "unauthenticated")
		require.Equal(t, `Bearer realm="phantom"`, answer.header.Get("WWW-Authenticate"), route)
		for role, token := range tokens {
			answer := h.do(by(token, ask))
			if role.Allows(api.OperationRoles()[operation]) {
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, answer.status, "%s as %s: %s", route, role, answer.body)
				continue
			}
			answer.problem(http.StatusForbidden, "forbidden")
			require.Contains(t, string(answer.body), operation+" needs a key with the role")
		}
	}
	require.NoError(t, h.params.Verifier.Flush(t.Context()))
	trail := h.do(by(tokens[access.Admin], request{path: "/api/v1/keys/events?limit=200"}))
	require.Contains(t, string(trail.body), `"operation":"create-model","reason":"needs the role trainer","count":1`)
}

func TestATrainerBringsNothingIntoService(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	_, trainer := h.key(h.tenant, access.Trainer)
	start := post("/api/v1/models/digits/trainings", object{
		"data": object{"train": object{"uri": "x.csv"}}, "create": object{}, "deploy": object{"target": "local"},
	})
	refused := h.do(by(trainer, start))
	refused.problem(http.StatusForbidden, "forbidden")
	require.Contains(t, string(refused.body), "start-training with deploy needs a key with the role deployer")
	_, deployer := h.key(h.tenant, access.Deployer)
	require.Equal(t, http.StatusServiceUnavailable, h.do(by(deployer, start)).status, "as far as Temporal, which is not there")
}

func TestWhoActsIsWhatTheKeySays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	id, token := h.key(h.tenant, access.Admin)
	create := by(token, post("/api/v1/models", digits()))
	create.header[api.HeaderActor] = "the chairman"
	h.do(create).as(http.StatusCreated)
	events := h.do(by(token, request{path: "/api/v1/events"})).items()
	require.Equal(t, object{"subject": "admin of " + string(h.tenant), "auth": "api_key", "verified": true}, events[0]["metadata"].(object)["actor"])

	own := by(token, request{path: "/api/v1/models"})
	own.header[api.HeaderTenant] = string(h.tenant)
	require.Len(t, h.do(own).items(), 1)
	own.header[api.HeaderTenant] = "umbrella"
	h.do(own).problem(http.StatusForbidden, "forbidden")

	require.NoError(t, h.params.Verifier.Flush(t.Context()))
	trail := h.do(by(token, request{path: "/api/v1/keys/events"})).items()
	require.Equal(t, "another tenant was named", trail[0]["reason"])
	require.Equal(t, id, trail[0]["key_id"])
}

func TestAKeyFromTheAPI(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	_, admin := h.key(h.tenant, access.Admin)
	asked := post("/api/v1/keys", object{"name": "ci", "role": "trainer", "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)})
	made := h.do(by(admin, asked)).as(http.StatusCreated)
	token, id := text(made["api_key"]), text(made["key_id"])
	require.True(t, strings.HasPrefix(token, "phk_"+id+"_"))
	require.Equal(t, "admin of "+string(h.tenant), made["created_by"])

	listed := h.do(by(admin, request{path: "/api/v1/keys"}))
	require.Len(t, listed.items(), 2)
	require.NotContains(t, string(listed.body), "api_key")
	require.NotContains(t, string(listed.body), token[21:])

	list := by(token, request{path: "/api/v1/models"})
	h.do(list).as(http.StatusOK)
	h.do(by(admin, request{method: http.MethodDelete, path: "/api/v1/keys/" + id})).as(http.StatusOK)
	began := time.Now()
	require.Eventually(t, func() bool { return h.do(list).status == http.StatusUnauthorized }, patience, poll)
	require.Less(t, time.Since(began), 3*time.Second, "at once: a second, and this machine's leisure")
	require.Contains(t, string(h.do(list).body), "was revoked")
}

func badKeys() []refusal {
	const keys = "/api/v1/keys"
	until := func(at string) object { return object{"name": "x", "role": "viewer", "expires_at": at} }
	remove := func(id string) request { return request{method: http.MethodDelete, path: keys + "/" + id} }
	return []refusal{
		{"key: no name", post(keys, object{"name": " ", "role": "viewer"}), badBody, "invalid_input", []string{"/name"}},
		{"key: long name", post(keys, object{"name": strings.Repeat("é", 100), "role": "viewer"}), badBody, "invalid_input", []string{"/name"}},
		{"key: no role", post(keys, object{"name": "x"}), badBody, "invalid_input", []string{"/role"}},
		{"key: other role", post(keys, object{"name": "x", "role": "root"}), badBody, "invalid_input", []string{"/role"}},
		{"key: over already", post(keys, until("2001-01-01T00:00:00Z")), badBody, "invalid_input", []string{"/expires_at"}},
		{"key: never", post(keys, until("0001-01-01T00:00:00Z")), badBody, "invalid_input", []string{"/expires_at"}},
		{"key: no time", post(keys, until("soon")), badBody, "invalid_input", []string{"/expires_at"}},
		{"keys: bad limit", request{path: keys + "?limit=0"}, badBody, "invalid_input", []string{"limit"}},
		{"key events: bad cursor", request{path: keys + "/events?cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"revoke: not there", remove("aaaaaaaaaaaaaaaa"), http.StatusNotFound, "not_found", nil},
		{"revoke: bad id", remove("A"), badBody, "invalid_input", []string{"key_id"}},
	}
}

func TestAKeyThatAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{PerSecond: 0.01, Burst: 2}))
	_, token := h.key(h.tenant, access.Viewer)
	ask := by(token, request{path: "/api/v1/models"})
	h.do(ask).as(http.StatusOK)
	h.do(ask).as(http.StatusOK)
	late := h.do(ask)
	late.problem(http.StatusTooManyRequests, "too_many_requests")
	require.Equal(t, "100", late.header.Get("Retry-After"))
}

// A request that goes on and on ends with its key.
func TestFollowingEndsWithTheKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	h.startJob()
	id, token := h.key(h.tenant, access.Viewer)
	h.http.Transport = bearer{token, h.http.Transport}
	lines := h.follow(job)
	require.True(t, lines.Scan())
	_, err := h.params.Keys.Revoke(t.Context(), h.tenant, id, "root")
	require.NoError(t, err)
	require.False(t, lines.Scan())
}

// bearer sends a key with every request.
type bearer struct {
	token string
	http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

func TestLongAddressesAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get("/api/v1/models?cursor="+strings.Repeat("a", 9<<10)).problem(http.StatusRequestEntityTooLarge, "too_large")
}

func TestWhatTheAPIIsLikeIsToldToEverybody(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	for _, path := range []string{"/openapi.json", "/docs"} {
		require.Equal(t, http.StatusOK, h.get(path).status)
	}
	h.get("/docs/").problem(http.StatusUnauthorized, "unauthenticated")
	h.get("/").problem(http.StatusUnauthorized, "unauthenticated")
}

// With a key of one tenant and the ids of another: every route says not found, or answers with nothing of the
// other's, and changes nothing of it.
func TestNothingCrossesBetweenKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal, withKeys(access.Limit{}))
	made := h.furnish()
	ownKey, own := h.key(h.tenant, access.Admin)
	_, eve := h.key("eve-"+domain.Tenant(uuid.NewString()[:8]), access.Admin)
	saga := text(h.do(by(own, post("/api/v1/models/digits/deployments", object{"version": "2", "target": "local"}))).as(http.StatusAccepted)["saga_id"])
	require.Eventually(t, func() bool { return len(h.do(by(own, request{path: "/api/v1/sagas"})).items()) == 1 }, patience, poll)
	before := h.do(by(own, request{path: "/api/v1/models/digits"})).as(http.StatusOK)
	fill := strings.NewReplacer("{model_id}", "digits", "{version}", "1", "{job}", made.job, "{rollout}", made.rollout, "{saga_id}", saga,
		"{target}", "local", "{key_id}", ownKey, "{alias}", "champion", "{digest}", artifactOf("a"))
	bodies := map[string]any{
		"PATCH /api/v1/models/{model_id}":                              object{"description": "mine"},
		"PUT /api/v1/models/{model_id}/config":                         object{"new_config": object{"a": 1}, "change_reason": "mine"},
		"POST /api/v1/models/{model_id}/trainings":                     object{"data": object{"train": object{"uri": "x.csv"}}},
		"POST /api/v1/models/{model_id}/deployments":                   object{"version": "2", "target": "local"},
		"POST /api/v1/models/{model_id}/deployments/{target}/rollback": object{"reason": "mine"},
		"POST /api/v1/models/{model_id}/versions":                      object{"artifacts_location": artifactOf("a")},
		"POST /api/v1/models/{model_id}/archive":                       object{"reason": "mine"},
		"POST /api/v1/models/{model_id}/delete":                        object{"reason": "mine"},
		"PUT /api/v1/models/{model_id}/aliases/{alias}":                object{"version": "1"},
	}
	for _, route := range routes(t) {
		method, path, _ := strings.Cut(route, " ")
		if strings.HasPrefix(path, "/api/v1/projections") { // everybody's, with one's own positions: see TestProjectionsShowATenantItsOwn
			continue
		}
		ask := by(eve, request{method: method, path: fill.Replace(path), body: bodies[route]})
		if strings.HasPrefix(route, "DELETE") && strings.Contains(path, "deployments") {
			ask.path += "?reason=mine"
		}
		if path == "/api/v1/search" {
			ask.path += "?q=digits"
		}
		if ask.body == nil && method == http.MethodPost {
			ask.body = object{}
		}
		answer := h.do(ask)
		for _, trace := range []string{made.job, made.rollout, artifactOf("a"), string(h.tenant), "Digits", ownKey} {
			if !strings.Contains(ask.path, trace) && answer.status < 400 {
				require.NotContains(t, string(answer.body), trace, route)
			}
		}
		switch {
		case route == "POST /api/v1/models/{model_id}/versions": // the artifact is another's too, and looked for first
			require.Equal(t, []string{"/artifacts_location"}, answer.problem(http.StatusUnprocessableEntity, "invalid_input"))
		case strings.Contains(path, "{"):
			answer.problem(http.StatusNotFound, "not_found")
		case method == http.MethodGet && !strings.HasPrefix(path, "/api/v1/keys"):
			require.Empty(t, answer.items(), route)
		}
	}
	require.Equal(t, before, h.do(by(own, request{path: "/api/v1/models/digits"})).as(http.StatusOK))
	require.Equal(t, "running", h.do(by(own, request{path: "/api/v1/sagas/" + saga})).as(http.StatusOK)["state"])
	require.Nil(t, h.do(by(own, request{path: "/api/v1/keys"})).items()[0]["revoked_at"])
}
