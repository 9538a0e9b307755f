package api_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/api"
	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
)

// refusal is a request that is refused, with its code and the places that it names.
type refusal struct {
	name     string
	request  request
	status   int
	code     string
	pointers []string
}

const (
	job     = "11111111-1111-4111-8111-111111111111"
	badBody = http.StatusUnprocessableEntity
)

func post(path string, body any) request {
	return request{method: http.MethodPost, path: path, body: body}
}

func put(path string, body any) request {
	return request{method: http.MethodPut, path: path, body: body}
}

func patch(path string, body any) request {
	return request{method: http.MethodPatch, path: path, body: body}
}

func with(name, value string, r request) request {
	r.header = map[string]string{name: value}
	return r
}

func without(o object, name string) object {
	delete(o, name)
	return o
}

func and(o object, name string, value any) object {
	o[name] = value
	return o
}

func badModels() []refusal {
	const models, one, config = "/api/v1/models", "/api/v1/models/digits", "/api/v1/models/digits/config"
	large := and(digits(), "description", strings.Repeat("x", 1<<20))
	return []refusal{
		{"create: unknown field", post(models, and(digits(), "naam", 1)), badBody, "invalid_input", []string{"/naam"}},
		{"create: missing field", post(models, without(digits(), "name")), badBody, "invalid_input", []string{"/name"}},
		{"create: wrong type", post(models, and(digits(), "name", 7)), badBody, "invalid_input", []string{"/name"}},
		{"create: empty name", post(models, and(digits(), "name", " ")), badBody, "invalid_input", []string{"/name"}},
		{"create: bad id", post(models, and(digits(), "model_id", "Digits!")), badBody, "invalid_input", []string{"/model_id"}},
		{"create: config is no object", post(models, and(digits(), "initial_config", 5)), badBody, "invalid_input", []string{"/initial_config"}},
		{"create: bad tag", post(models, and(digits(), "tags", object{"a b/c": "x"})), badBody, "invalid_input", []string{"/tags/a b~1c"}},
		{"create: several", post(models, object{"model_id": "X", "name": "", "model_type": "", "algorithm": "mlp"}), badBody, "invalid_input", []string{"/model_id", "/name", "/model_type"}},
		{"create: not JSON", post(models, `{"model_id":`), http.StatusBadRequest, "malformed", []string{""}},
		{"create: a list", post(models, `[]`), badBody, "invalid_input", []string{""}},
		{"create: no body", post(models, nil), http.StatusBadRequest, "malformed", nil},
		{"create: other format", with("Content-Type", "text/csv", post(models, "a,b")), http.StatusBadRequest, "malformed", []string{"Content-Type"}},
		{"create: too large", post(models, large), http.StatusRequestEntityTooLarge, "too_large", nil},
		{"create: bad key", with("Idempotency-Key", "a b", post(models, digits())), badBody, "invalid_input", []string{"Idempotency-Key"}},
		{"create: bad revision", with("If-Match", "x", post(models, digits())), badBody, "invalid_input", []string{"If-Match"}},
		{"bad tenant", with(api.HeaderTenant, "A_B", request{path: models}), badBody, "invalid_input", []string{api.HeaderTenant}},
		{"bad actor", with(api.HeaderActor, strings.Repeat("x", 200), request{path: models}), badBody, "invalid_input", []string{api.HeaderActor}},
		{"list: bad status", request{path: models + "?status=happy"}, badBody, "invalid_input", []string{"status"}},
		{"list: bad limit", request{path: models + "?limit=201"}, badBody, "invalid_input", []string{"limit"}},
		{"list: limit is no number", request{path: models + "?limit=x"}, badBody, "invalid_input", []string{"limit"}},
		{"list: bad cursor", request{path: models + "?cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"list: bad tag", request{path: models + "?tag=x"}, badBody, "invalid_input", []string{"tag"}},
		{"list: unknown parameter", request{path: models + "?statsu=created"}, badBody, "invalid_input", []string{"statsu"}},
		{"get: bad id", request{path: models + "/DIGITS"}, badBody, "invalid_input", []string{"model_id"}},
		{"get: bad moment", request{path: one + "?as_of=yesterday"}, badBody, "invalid_input", []string{"as_of"}},
		{"get: position 0", request{path: one + "?as_of=0"}, badBody, "invalid_input", []string{"as_of"}},
		{"get: the future", request{path: one + "?as_of=2999-01-01T00:00:00Z"}, badBody, "invalid_input", []string{"as_of"}},
		{"get: two moments", request{path: one + "?as_of=1&at_revision=1"}, badBody, "invalid_input", []string{"at_revision"}},
		{"get: bad position", with("Phantom-Min-Position", "x", request{path: one}), badBody, "invalid_input", []string{"Phantom-Min-Position"}},
		{"get: not there", request{path: models + "/nope"}, http.StatusNotFound, "not_found", nil},
		{"patch: unknown field", patch(one, object{"name": "x"}), badBody, "invalid_input", []string{"/name"}},
		{"patch: wrong type", patch(one, object{"tags": object{"a": 1}}), badBody, "invalid_input", []string{"/tags/a"}},
		{"patch: not there", patch(models+"/nope", object{"description": "x"}), http.StatusNotFound, "not_found", nil},
		{"config: no reason", put(config, object{"new_config": object{}}), badBody, "invalid_input", []string{"/change_reason"}},
		{"config: no object", put(config, object{"new_config": 1, "change_reason": "x"}), badBody, "invalid_input", []string{"/new_config"}},
		{"config: not there", put(models+"/nope/config", object{"new_config": object{}, "change_reason": "x"}), http.StatusNotFound, "not_found", nil},
		{"archive: no reason", post(one+"/archive", object{}), badBody, "invalid_input", []string{"/reason"}},
		{"archive: empty reason", post(one+"/archive", object{"reason": " "}), badBody, "invalid_input", []string{"/reason"}},
		{"archive: not there", post(models+"/nope/archive", object{"reason": "x"}), http.StatusNotFound, "not_found", nil},
		{"delete: no reason", post(one+"/delete", object{"retention": "retain"}), badBody, "invalid_input", []string{"/reason"}},
		{"delete: not archived", post(one+"/delete", object{"reason": "x"}), http.StatusConflict, "invalid_state", nil},
		{"delete: not yet", post(one+"/delete", object{"reason": "x", "retention": "erase_all", "delay": "1h"}), badBody, "invalid_input", []string{"/retention", "/delay"}},
		{"delete: unknown retention", post(one+"/delete", object{"reason": "x", "retention": "shred"}), badBody, "invalid_input", []string{"/retention"}},
		{"no such route", request{path: "/api/v1/nothing"}, http.StatusNotFound, "not_found", nil},
	}
}

func badReads() []refusal {
	const one = "/api/v1/models/digits"
	return []refusal{
		{"versions: bad cursor", request{path: one + "/versions?cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"version: bad number", request{path: one + "/versions/01"}, badBody, "invalid_input", []string{"version"}},
		{"version: no alias", request{path: one + "/versions/@nobody"}, http.StatusNotFound, "not_found", nil},
		{"version: none yet", request{path: one + "/versions/latest"}, http.StatusNotFound, "not_found", nil},
		{"artifact of a version: bad number", request{path: one + "/versions/x/artifact"}, badBody, "invalid_input", []string{"version"}},
		{"artifact: bad digest", request{path: "/api/v1/artifacts/sha256:a"}, badBody, "invalid_input", []string{"digest"}},
		{"artifact: not there", request{path: "/api/v1/artifacts/" + artifactOf("never stored")}, http.StatusNotFound, "not_found", nil},
		{"aliases: bad cursor", request{path: one + "/aliases?cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"alias: reserved", request{path: one + "/aliases/latest"}, badBody, "invalid_input", []string{"alias"}},
		{"alias: not there", request{path: one + "/aliases/champion"}, http.StatusNotFound, "not_found", nil},
		{"trainings: bad state", request{path: one + "/trainings?state=x"}, badBody, "invalid_input", []string{"state"}},
		{"training: bad id", request{path: one + "/trainings/x"}, badBody, "invalid_input", []string{"job"}},
		{"training: not there", request{path: one + "/trainings/" + job}, http.StatusNotFound, "not_found", nil},
		{"all trainings: bad limit", request{path: "/api/v1/trainings?limit=0"}, badBody, "invalid_input", []string{"limit"}},
		{"any training: not there", request{path: "/api/v1/trainings/" + job}, http.StatusNotFound, "not_found", nil},
		{"metrics: one point", request{path: one + "/trainings/" + job + "/metrics?max_points=1"}, badBody, "invalid_input", []string{"max_points"}},
		{"logs: bad follow", request{path: one + "/trainings/" + job + "/logs?follow=x"}, badBody, "invalid_input", []string{"follow"}},
		{"logs: not there", request{path: one + "/trainings/" + job + "/logs"}, http.StatusNotFound, "not_found", nil},
		{"deployments: bad current", request{path: one + "/deployments?current=x"}, badBody, "invalid_input", []string{"current"}},
		{"rollouts: bad state", request{path: one + "/rollouts?state=x"}, badBody, "invalid_input", []string{"state"}},
		{"rollout: bad id", request{path: one + "/rollouts/x"}, badBody, "invalid_input", []string{"rollout"}},
		{"all rollouts: bad state", request{path: "/api/v1/rollouts?state=x"}, badBody, "invalid_input", []string{"state"}},
		{"any rollout: not there", request{path: "/api/v1/rollouts/" + job}, http.StatusNotFound, "not_found", nil},
		{"events: bad after", request{path: one + "/events?after=-1"}, badBody, "invalid_input", []string{"after"}},
		{"all events: bad time", request{path: "/api/v1/events?from=x"}, badBody, "invalid_input", []string{"from"}},
		{"sagas: bad waiting_for", request{path: "/api/v1/sagas?waiting_for=godot"}, badBody, "invalid_input", []string{"waiting_for"}},
		{"sagas: bad model", request{path: "/api/v1/sagas?model_id=a%27b"}, badBody, "invalid_input", []string{"model_id"}},
		{"sagas: bad cursor", request{path: "/api/v1/sagas?cursor=%25"}, badBody, "invalid_input", []string{"cursor"}},
		{"sagas: ended ones do not wait", request{path: "/api/v1/sagas?waiting_for=approval&state=failed"}, badBody, "invalid_input", []string{"state"}},
		{"saga: NUL", request{path: "/api/v1/sagas/%00"}, badBody, "invalid_input", []string{"path"}},
		{"saga: not UTF-8", request{path: "/api/v1/sagas/%ff"}, badBody, "invalid_input", []string{"path"}},
		{"events: NUL", request{path: "/api/v1/models/digits/events?type=%00"}, badBody, "invalid_input", []string{"type"}},
		{"saga: not there", request{path: "/api/v1/sagas/train:default:digits:x"}, http.StatusNotFound, "not_found", nil},
	}
}

func badAliasesAndVersions() []refusal {
	const versions, alias = "/api/v1/models/digits/versions", "/api/v1/models/digits/aliases/champion"
	return []refusal{
		{"assign: no version", put(alias, object{}), badBody, "invalid_input", []string{"/version"}},
		{"assign: bad version", put(alias, object{"version": "01"}), badBody, "invalid_input", []string{"/version"}},
		{"assign: bad expectation", put(alias, object{"version": "1", "expected": "@champion"}), badBody, "invalid_input", []string{"/expected"}},
		{"assign: reserved", put("/api/v1/models/digits/aliases/v7", object{"version": "1"}), badBody, "invalid_input", []string{"alias"}},
		{"assign: no such version", put(alias, object{"version": "1"}), http.StatusNotFound, "not_found", nil},
		{"assign: stale", put(alias, object{"version": "1", "expected": "2"}), http.StatusPreconditionFailed, "precondition_failed", []string{"/expected"}},
		{"remove: not there", request{method: http.MethodDelete, path: alias}, http.StatusNotFound, "not_found", nil},
		{"remove: bad expectation", request{method: http.MethodDelete, path: alias + "?expected=x"}, badBody, "invalid_input", []string{"expected"}},
		{"register: no artifact", post(versions, object{}), badBody, "invalid_input", []string{"/artifacts_location"}},
		{"register: no digest", post(versions, object{"artifacts_location": "s3://x"}), badBody, "invalid_input", []string{"/artifacts_location"}},
		{"register: not ours", post(versions, object{"artifacts_location": artifactOf("never stored")}), badBody, "invalid_input", []string{"/artifacts_location"}},
		{"register: bad metric", post(versions, object{"artifacts_location": artifactOf("a"), "metrics": object{"": 1}}), badBody, "invalid_input", []string{"/metrics/"}},
		{"register: of a job", post(versions, object{"artifacts_location": artifactOf("a"), "training_job_id": job}), badBody, "invalid_input", []string{"/training_job_id"}},
		{"upload: other format", with("Content-Type", "text/csv", post("/api/v1/artifacts", "a,b")), http.StatusBadRequest, "malformed", []string{"Content-Type"}},
		{"upload: nothing", with("Content-Type", "application/octet-stream", post("/api/v1/artifacts", "")), http.StatusBadRequest, "malformed", nil},
		{"upload: too large", with("Content-Type", "application/octet-stream", post("/api/v1/artifacts", strings.Repeat("x", maxArtifact+1))), http.StatusRequestEntityTooLarge, "too_large", nil},
	}
}

func badSagas() []refusal {
	const trainings, deployments, local = trainingsPath, "/api/v1/models/digits/deployments", "/api/v1/models/digits/deployments/local"
	deploy := func() object { return object{"version": "1", "target": "local"} }
	step := func(weight int) object {
		return object{"canary": object{"steps": []any{object{"weight": weight, "hold": "1s"}}}}
	}
	refusals := []refusal{
		{"train: unknown field", post(trainings, and(trainDigits(), "sed", 1)), badBody, "invalid_input", []string{"/sed"}},
		{"train: no data", post(trainings, without(trainDigits(), "data")), badBody, "invalid_input", []string{"/data/train/uri"}},
		{"train: wrong type", post(trainings, and(trainDigits(), "seed", "x")), badBody, "invalid_input", []string{"/seed"}},
		{"train: deep", post(trainings, and(trainDigits(), "gates", []any{object{"metric": "accuracy", "op": "!", "threshold": 1}})), badBody, "invalid_input", []string{"/gates/0/op"}},
		{"train: not yet", post(trainings, and(trainDigits(), "trainer", object{"kind": "embedded", "profile": "p"})), badBody, "invalid_input", []string{"/trainer/profile"}},
		{"train: tenant in the body", post(trainings, and(trainDigits(), "tenant", "x")), badBody, "invalid_input", []string{"/tenant"}},
		{"train: actor in the body", post(trainings, and(trainDigits(), "actor", object{"subject": "eve"})), badBody, "invalid_input", []string{"/actor"}},
		{"train: not JSON", post(trainings, `{`), http.StatusBadRequest, "malformed", []string{""}},
		{"train: a list", post(trainings, `[1]`), badBody, "invalid_input", []string{""}},
		{"train: null", post(trainings, `null`), badBody, "invalid_input", []string{""}},
		{"train: too large", post(trainings, and(trainDigits(), "algorithm", strings.Repeat("x", 1<<20))), http.StatusRequestEntityTooLarge, "too_large", nil},
		{"train: bad key", with("Idempotency-Key", "a/b", post(trainings, trainDigits())), badBody, "invalid_input", []string{"Idempotency-Key"}},
		{"train: stale", with("If-Match", `"7"`, post(trainings, trainDigits())), http.StatusPreconditionFailed, "precondition_failed", nil},
		{"deploy: unknown field", post(deployments, and(deploy(), "x", 1)), badBody, "invalid_input", []string{"/x"}},
		{"deploy: no version", post(deployments, without(deploy(), "version")), badBody, "invalid_input", []string{"/version"}},
		{"deploy: bad weight", post(deployments, and(deploy(), "strategy", step(120))), badBody, "invalid_input", []string{"/strategy/canary/steps/0/weight"}},
		{"deploy: no such version", post(deployments, deploy()), http.StatusNotFound, "not_found", nil},
		{"deploy: no version yet", post(deployments, and(deploy(), "version", "latest")), http.StatusNotFound, "not_found", nil},
		{"rollback: target in the body", post(local+"/rollback", object{"target": "prod"}), badBody, "invalid_input", []string{"/target"}},
		{"rollback: bad version", post(local+"/rollback", object{"to": "x"}), badBody, "invalid_input", []string{"/to"}},
		{"undeploy: nothing there", request{method: http.MethodDelete, path: local}, http.StatusConflict, "invalid_state", nil},
		{"undeploy: bad reason", request{method: http.MethodDelete, path: local + "?reason=%00"}, badBody, "invalid_input", []string{"reason"}},
		{"undeploy: bad target", request{method: http.MethodDelete, path: "/api/v1/models/digits/deployments/A"}, badBody, "invalid_input", []string{"target"}},
		{"pause: not yet", post("/api/v1/sagas/x/pause", nil), http.StatusNotFound, "not_found", nil},
	}
	for _, action := range []string{"approve", "reject", "retry_step", "promote", "abort", "cancel"} {
		path := "/api/v1/sagas/train:default:digits:x/" + action
		refusals = append(refusals,
			refusal{action + ": not there", post(path, nil), http.StatusNotFound, "not_found", nil},
			refusal{action + ": unknown field", post(path, object{"by": "eve"}), badBody, "invalid_input", []string{"/by"}},
			refusal{action + ": not JSON", post(path, "{"), http.StatusBadRequest, "malformed", []string{""}})
	}
	return refusals
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.createDigits()
	reached := map[string]bool{}
	for _, c := range slices.Concat(badModels(), badReads(), badAliasesAndVersions(), badSagas(), badFeedback(), badKeys(), badQueries(), badSteering()) {
		pointers := h.named(c.name).do(c.request).problem(c.status, c.code)
		require.Equal(t, c.pointers, pointers, c.name)
		reached[c.request.routed(t)] = true
	}
	require.Len(t, h.get("/api/v1/events").items(), 1, "nothing was half-written")
	for _, route := range routes(t) {
		require.True(t, reached[route], "%s has no row with bad input", route)
	}
}

// named makes failures name their case.
func (h *house) named(name string) *house {
	h.t.Helper()
	h.t.Log(name)
	return h
}

// A read that waits for what never comes ends with 503 within its time, and so does a moment of the future.
func TestWaitingForAPositionEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(h *house, p *api.Params) {
		p.WaitFor = func(ctx context.Context, name, tenant string, position int64) error {
			if deadline, limited := ctx.Deadline(); !limited || time.Until(deadline) > 10*time.Second {
				return errors.New("the wait has no end within 10 s")
			}
			if position < 100 {
				return h.runner.WaitFor(ctx, name, tenant, position)
			}
			return &projection.NotReached{Projection: name, Wanted: position, Cause: "select secret from table"}
		}
	})
	h.createDigits()
	for _, path := range []string{
		"/api/v1/models", "/api/v1/models/digits", "/api/v1/models/digits/versions", "/api/v1/models/digits/versions/1", "/api/v1/trainings",
		"/api/v1/trainings/" + job, "/api/v1/models/digits/trainings/" + job + "/metrics", "/api/v1/models/digits/trainings/" + job + "/logs",
		"/api/v1/models/digits/deployments", "/api/v1/models/digits/aliases", "/api/v1/models/digits/aliases/champion",
		"/api/v1/models/digits/versions/@champion/artifact", "/api/v1/artifacts/" + artifactOf("a"), "/api/v1/rollouts", "/api/v1/rollouts/" + job,
	} {
		late := h.do(request{path: path, header: map[string]string{"Phantom-Min-Position": "100"}})
		late.problem(http.StatusServiceUnavailable, "unavailable")
		require.NotEmpty(t, late.header.Get("Retry-After"))
		require.NotContains(t, string(late.body), "secret")
	}
	h.get("/api/v1/models/digits?as_of=100").problem(http.StatusServiceUnavailable, "unavailable")
	h.get("/api/v1/models/digits?as_of=1").as(http.StatusOK)
}

// A write is answered with what it did, also while the catalogue is behind.
func TestWriteIsAnsweredBeforeTheCatalogue(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ *house, p *api.Params) {
		p.WaitFor = func(_ context.Context, name, _ string, position int64) error {
			return &projection.NotReached{Projection: name, Wanted: position}
		}
		p.Reader = readmodel.NewReader(emptyDatabase(t))
	})
	created := h.post("/api/v1/models", digits())
	require.Equal(t, `"1"`, created.header.Get("ETag"))
	require.EqualValues(t, 1, created.position())
	body := created.as(http.StatusCreated)
	require.Equal(t, "created", body["status"])
	require.Equal(t, object{"team": "vision"}, body["tags"])
	require.Equal(t, object{"hidden": 32.0}, body["config"])
	require.Equal(t, []any{}, body["deployed_targets"])
	require.Equal(t, "ann", body["created_by"].(object)["subject"])

	patched := h.do(request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{"description": "new"}})
	require.Equal(t, `"2"`, patched.header.Get("ETag"))
	require.Equal(t, "new", patched.as(http.StatusOK)["description"])
	require.Equal(t, object{"team": "vision"}, patched.as(http.StatusOK)["tags"])
}

// Servers behind the API that are away are 503, without their words.
func TestServersAreAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://secret:secret@127.0.0.1:1/secret")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	h := newHouse(t, func(_ *house, p *api.Params) {
		p.Reader, p.Registry = readmodel.NewReader(pool), registry.New(eventstore.New(pool))
	})
	for _, r := range []request{
		{path: "/api/v1/models"},
		{path: "/api/v1/models/digits"},
		{path: "/api/v1/events"},
		post("/api/v1/models", digits()),
		{path: "/api/v1/sagas"},
		{path: "/api/v1/sagas/x"},
		post(trainingsPath, trainDigits()), post("/api/v1/sagas/x/cancel", nil),
	} {
		away := h.do(r)
		away.problem(http.StatusServiceUnavailable, "unavailable")
		require.NotEmpty(t, away.header.Get("Retry-After"))
		require.NotContains(t, string(away.body), "secret")
		require.NotContains(t, string(away.body), "127.0.0.1")
	}
}

// What no id of a saga can be is not found; Temporal's client would not send it.
func TestAnIDBeyondASCIIIsNoSaga(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get("/api/v1/sagas/train:default:digits:%C3%A9").problem(http.StatusNotFound, "not_found")
	h.post("/api/v1/sagas/%01/cancel", nil).problem(http.StatusNotFound, "not_found")
}

// A panic is a problem of ours, told without its words, and the server goes on.
func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ *house, p *api.Params) {
		p.WaitFor = func(context.Context, string, string, int64) error { panic("secret") }
	})
	broken := h.do(request{path: "/api/v1/models", header: map[string]string{"Phantom-Min-Position": "1", "X-Request-Id": "r-1"}})
	broken.problem(http.StatusInternalServerError, "internal")
	require.NotContains(t, string(broken.body), "secret")
	require.Contains(t, string(broken.body), "r-1")
	require.Equal(t, "r-1", broken.header.Get("X-Request-Id"))
	h.get("/api/v1/models").as(http.StatusOK)
}
