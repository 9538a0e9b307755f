package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/access"
	"phantom/api"
)

// projection is one of the list, as a tenant sees it.
func (h *house) projection(name, tenant string) object {
	h.t.Helper()
	return h.do(request{path: "/api/v1/projections/" + name, header: map[string]string{api.HeaderTenant: tenant}}).as(http.StatusOK)
}

func TestProjectionsShowATenantItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	list := h.get("/api/v1/projections").items()
	require.Len(t, list, len(h.runner.Names()))
	require.Equal(t, "catalogue", list[0]["name"])
	own, other := h.projection("catalogue", string(h.tenant)), h.projection("catalogue", string(h.tenant)+"-other")
	require.EqualValues(t, 1, own["position"])
	require.EqualValues(t, 1, own["head"])
	require.EqualValues(t, 0, own["lag"])
	require.Equal(t, "running", own["state"])
	require.EqualValues(t, 0, other["position"])
	require.EqualValues(t, 0, other["head"])
	require.Nil(t, other["last_progress_at"])
	h.get("/api/v1/projections/moon").problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/projections/moon/parked").problem(http.StatusNotFound, "not_found")
	require.Empty(t, h.get("/api/v1/projections/catalogue/parked").items())
}

func TestProjectionsAreSteered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	at := func(what string) string { return "/api/v1/projections/catalogue/" + what }

	paused := h.post(at("pause"), object{"reason": "a new index"}).as(http.StatusOK)
	require.Equal(t, "paused", paused["state"])
	require.Equal(t, "a new index", paused["pause_reason"])
	patched := h.do(request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{"description": "new"}})
	patched.as(http.StatusOK)
	behind := h.projection("catalogue", string(h.tenant))
	require.EqualValues(t, 1, behind["lag"])
	require.Equal(t, "running", h.post(at("resume"), nil).as(http.StatusOK)["state"])
	require.Eventually(t, func() bool { return h.projection("catalogue", string(h.tenant))["lag"] == 0.0 }, patience, poll)

	h.post(at("rewind"), object{"position": 7}).problem(http.StatusConflict, "invalid_state")
	h.post(at("rewind"), object{}).problem(http.StatusUnprocessableEntity, "invalid_input")
	h.post("/api/v1/projections/inference-activity/rewind", object{"position": 1}).problem(http.StatusConflict, "invalid_state")
	h.post(at("rewind"), object{"position": 1}).as(http.StatusOK)
	require.Eventually(t, func() bool {
		return h.get("/api/v1/models/digits").as(http.StatusOK)["description"] == "new"
	}, patience, poll)

	h.post(at("rebuild"), object{"back": true}).problem(http.StatusConflict, "invalid_state")
	h.post(at("rebuild"), object{"back": true, "drop": true}).problem(http.StatusConflict, "invalid_state")
	h.post(at("rebuild"), nil).as(http.StatusAccepted)
	generation := func() any { return h.projection("catalogue", string(h.tenant))["generation"] }
	require.Eventually(t, func() bool { return generation() == 2.0 }, patience, poll)
	require.Equal(t, "new", h.get("/api/v1/models/digits").as(http.StatusOK)["description"])
	h.post(at("rebuild"), object{"back": true}).as(http.StatusAccepted)
	require.EqualValues(t, 1, generation())
	h.post(at("rebuild"), object{"drop": true}).as(http.StatusAccepted)

	again := h.post(at("retry"), nil).as(http.StatusOK)
	require.Equal(t, object{"applied": 0.0, "parked": 0.0, "errors": []any{}}, again)
	h.post(at("retry"), object{"aggregate_id": "digits"}).problem(http.StatusUnprocessableEntity, "invalid_input")
	h.post("/api/v1/projections/moon/pause", nil).problem(http.StatusNotFound, "not_found")
}

// What concerns all tenants is asked for by operators alone; the admin of another tenant is told so, and moves nothing.
func TestAProjectionIsSteeredByOperatorsAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withKeys(access.Limit{}))
	_, operator := h.key(h.tenant, access.Admin)
	evil := h.tenant + "-other"
	_, other := h.key(evil, access.Admin)
	h.do(by(other, post("/api/v1/models", digits()))).as(http.StatusCreated)
	at := func(what string) string { return "/api/v1/projections/catalogue/" + what }
	one := func(token string) object {
		return h.do(by(token, request{path: "/api/v1/projections/catalogue"})).as(http.StatusOK)
	}
	for what, body := range map[string]object{
		"pause": {}, "resume": {}, "rebuild": {},
	} {
		refused := h.do(by(other, post(at(what), body)))
		refused.problem(http.StatusForbidden, "forbidden")
		require.Contains(t, string(refused.body), what+"-projection concerns all tenants: it needs an admin key of an operator tenant, and "+string(evil)+" is none")
		require.Contains(t, string(refused.body), "under operators in phantom.yaml")
		require.NotContains(t, string(refused.body), string(h.tenant)+" ", "who they are is nobody's business")
	}
	for _, body := range []object{{"back": true}, {"drop": true}, {"throttle": 1}} {
		h.do(by(other, post(at("rebuild"), body))).problem(http.StatusForbidden, "forbidden")
	}
	require.Equal(t, "running", one(operator)["state"])
	require.Len(t, one(operator)["generations"], 1)

	h.do(by(operator, post(at("pause"), object{"reason": "a new index"}))).as(http.StatusOK)
	require.Equal(t, "paused", one(other)["state"])
	h.do(by(operator, post(at("rebuild"), nil))).as(http.StatusAccepted)
	theirs, ours := one(other)["generations"].([]any), one(operator)["generations"].([]any)
	require.Len(t, theirs, 2)
	for i := range theirs {
		require.Nil(t, theirs[i].(object)["rate"], "it says how many events others have")
		require.Nil(t, theirs[i].(object)["hidden"])
		require.NotNil(t, ours[i].(object)["hidden"])
	}
	require.NotNil(t, ours[1].(object)["rate"])
	h.do(by(operator, post(at("rebuild"), object{"drop": true}))).as(http.StatusAccepted)
	h.do(by(operator, post(at("resume"), nil))).as(http.StatusOK)

	// One's own rows are one's own business.
	require.Eventually(t, func() bool { return one(other)["position"] == 1.0 }, patience, poll)
	h.do(by(other, post(at("rewind"), object{"position": 0}))).as(http.StatusOK)
	h.do(by(other, post(at("retry"), nil))).as(http.StatusOK)

	require.NoError(t, h.params.Verifier.Flush(t.Context()))
	trail := h.do(by(other, request{path: "/api/v1/keys/events?limit=200"}))
	require.Contains(t, string(trail.body), `"operation":"pause-projection","reason":"needs an operator tenant","count":1`)
}

// A caller who has lost the answer asks again: it is not done twice.
func TestARebuildIsAskedForAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	ask := func(key string, body object) answer {
		return h.do(with("Idempotency-Key", key, post("/api/v1/projections/catalogue/rebuild", body)))
	}
	generation := func() any { return h.projection("catalogue", string(h.tenant))["generation"] }
	ask("a", object{}).as(http.StatusAccepted)
	require.Eventually(t, func() bool { return generation() == 2.0 }, patience, poll)
	require.Len(t, ask("a", object{}).as(http.StatusAccepted)["generations"], 2)
	for range 2 {
		require.EqualValues(t, 1, ask("b", object{"back": true}).as(http.StatusAccepted)["generation"])
	}
	ask("b", object{"drop": true}).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
	ask("a b", object{"back": true}).problem(http.StatusUnprocessableEntity, "invalid_input")
	// The tenant's keys are one set: a model's is none of a projection's.
	model := and(digits(), "model_id", "other")
	h.do(with("Idempotency-Key", "c", post("/api/v1/models", model))).as(http.StatusCreated)
	ask("c", object{"back": true}).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
	h.do(with("Idempotency-Key", "b", post("/api/v1/models", and(digits(), "model_id", "third")))).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
	require.EqualValues(t, 1, generation())
}
