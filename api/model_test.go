package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

func TestModelIsCreatedAndChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)

	created := h.createDigits()
	require.Equal(t, `"1"`, created.header.Get("ETag"))
	require.Equal(t, "/api/v1/models/digits", created.header.Get("Location"))
	require.EqualValues(t, 1, created.position())
	require.Equal(t, "created", created.as(http.StatusCreated)["status"])

	got := h.get("/api/v1/models/digits").as(http.StatusOK)
	require.Equal(t, created.as(http.StatusCreated), got)
	require.Equal(t, object{"subject": "ann", "auth": "local", "verified": false}, got["created_by"])
	require.NotContains(t, got, "$schema")
	require.Equal(t, []any{}, got["deployed_targets"])

	patched := h.do(request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{
		"description": "reads digits", "tags": object{"team": nil, "a.b/c": "d"},
	}})
	require.Equal(t, `"2"`, patched.header.Get("ETag"))
	require.Equal(t, object{"a.b/c": "d"}, patched.as(http.StatusOK)["tags"])

	configured := h.do(request{method: http.MethodPut, path: "/api/v1/models/digits/config", body: object{
		"new_config": object{"hidden": 64}, "change_reason": "too small",
	}}).as(http.StatusOK)
	require.Equal(t, object{"hidden": 64.0}, configured["config"])
	require.Equal(t, "reads digits", configured["description"])

	again := h.do(request{method: http.MethodPut, path: "/api/v1/models/digits/config", body: object{
		"new_config": object{"hidden": 64}, "change_reason": "the same",
	}})
	require.Equal(t, `"3"`, again.header.Get("ETag"), "what changes nothing is no event")
	h.post("/api/v1/models", digits()).problem(http.StatusConflict, "already_exists")
}

// A new model is answered from its own events, before the catalogue shows it. Its writer never notices.
func TestAWriterSeesWhatItWrote(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n := range 20 {
		body := digits()
		body["model_id"] = fmt.Sprintf("m%02d", n)
		created := h.post("/api/v1/models", body).as(http.StatusCreated)
		path := fmt.Sprintf("/api/v1/models/m%02d", n)
		if n%2 == 0 {
			require.Empty(t, h.get(path+"/versions").items(), "not: there is no such model")
		}
		require.Len(t, h.get("/api/v1/models").items(), n+1)
		require.Equal(t, created, h.get(path).as(http.StatusOK))
	}
}

func TestModelAsItWas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get("/api/v1/models/digits?as_of="+now()).problem(http.StatusNotFound, "not_found")
	h.createDigits()
	events := h.get("/api/v1/models/digits/events").items()
	first, err := time.Parse(time.RFC3339Nano, text(events[0]["recorded_at"]))
	require.NoError(t, err)
	for n := range 5 {
		h.do(request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{"description": strconv.Itoa(n)}}).as(http.StatusOK)
	}

	for query, want := range map[string]string{
		"as_of=1": "", "as_of=3": "1", "at_revision=1": "", "at_revision=4": "2", "as_of=6": "4", "": "4",
		"as_of=" + url.QueryEscape(first.Format(time.RFC3339Nano)): "", "as_of=" + now(): "4",
	} {
		require.Equal(t, want, h.get("/api/v1/models/digits?" + query).as(http.StatusOK)["description"], query)
	}
	require.EqualValues(t, 3, h.get("/api/v1/models/digits?as_of=3").position())
	require.EqualValues(t, 1, h.get("/api/v1/models/digits?as_of="+url.QueryEscape(first.Format(time.RFC3339Nano))).position())
	h.get("/api/v1/models/digits?at_revision=7").problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/models/digits?as_of="+url.QueryEscape(first.Add(-time.Millisecond).Format(time.RFC3339Nano))).problem(http.StatusNotFound, "not_found")
	require.Len(t, h.get("/api/v1/models?as_of=2").items(), 1)
}

// Before a model was, its lists are not empty: there is no such model.
func TestAModelThatWasNotYetThereHasNoLists(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("other")
	h.settled(h.create("digits"))
	for _, list := range []string{"versions", "trainings", "deployments", "rollouts", "aliases"} {
		path := "/api/v1/models/digits/" + list
		h.get(path+"?as_of=1").problem(http.StatusNotFound, "not_found")
		require.Empty(t, h.get(path+"?as_of=2").items(), list)
		require.Empty(t, h.get(path+"?at_revision=1").items(), list)
	}
	for path, what := range map[string]string{
		"/api/v1/models/digits/versions/latest/lineage": "version latest of model digits not found", "/api/v1/models/digits/versions/latest?as_of=1": "model digits not found",
		"/api/v1/models/nope/versions/1/lineage": "model nope not found", "/api/v1/models/nope/versions/@champion": "model nope not found",
	} {
		answer := h.get(path)
		answer.problem(http.StatusNotFound, "not_found")
		require.Equal(t, what, answer.as(http.StatusNotFound)["detail"], path)
	}
}

// A list of the past goes on where its page ended, whatever has happened since.
func TestAPageOfThePastGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, id := range []domain.ModelID{"m1", "m3", "m5"} {
		h.create(id)
	}
	first := h.get("/api/v1/models?as_of=3&limit=2").as(http.StatusOK)
	cursor := url.QueryEscape(text(first["next_cursor"]))
	h.create("m4")
	h.settled(h.describe("m5", "changed"))
	rest := h.get("/api/v1/models?as_of=3&limit=2&cursor=" + cursor)
	require.Len(t, rest.items(), 1)
	require.Equal(t, "m5", rest.items()[0]["model_id"])
	require.Empty(t, rest.items()[0]["description"])
	require.EqualValues(t, 3, rest.position())
	require.Equal(t, []string{"cursor"}, h.get("/api/v1/models?limit=2&cursor="+cursor).problem(http.StatusUnprocessableEntity, "invalid_input"), "of another moment")
}

func now() string { return url.QueryEscape(time.Now().UTC().Format(time.RFC3339Nano)) }

func TestModelsAreListed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	require.Empty(t, h.get("/api/v1/models").items())
	for n := range 5 {
		model := digits()
		model["model_id"], model["tags"] = fmt.Sprintf("m%d", n), object{"team": strconv.Itoa(n % 2), "all": "yes"}
		if n == 4 {
			model["algorithm"] = "logistic_regression"
		}
		h.post("/api/v1/models", model).as(http.StatusCreated)
	}
	ids := func(query string) []string {
		var found []string
		for _, model := range h.get("/api/v1/models?" + query).items() {
			found = append(found, text(model["model_id"]))
		}
		return found
	}
	require.Equal(t, []string{"m0", "m2", "m4"}, ids("tag=team%3D0&tag=all%3Dyes"))
	require.Equal(t, []string{"m4"}, ids("algorithm=logistic_regression&status=created&model_type=classification"))
	require.Empty(t, ids("status=deployed"))

	var paged []string
	query := "limit=2"
	for {
		page := h.get("/api/v1/models?" + query).as(http.StatusOK)
		for _, model := range page["items"].([]any) {
			paged = append(paged, text(model.(object)["model_id"]))
		}
		if page["has_more"] == false {
			require.Empty(t, page["next_cursor"])
			break
		}
		query = "limit=2&cursor=" + url.QueryEscape(text(page["next_cursor"]))
	}
	require.Equal(t, []string{"m0", "m1", "m2", "m3", "m4"}, paged)
}

func TestWritesHappenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	create := request{method: http.MethodPost, path: "/api/v1/models", body: digits(), header: map[string]string{"Idempotency-Key": "k1"}}
	first := h.do(create).as(http.StatusCreated)
	require.Equal(t, first, h.do(create).as(http.StatusCreated))
	require.Len(t, h.get("/api/v1/models/digits/events").items(), 1)
	other := digits()
	other["name"] = "Other"
	create.body = other
	h.do(create).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")

	patch := request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{"description": "a"}, header: map[string]string{"If-Match": `"1"`}}
	h.do(patch).as(http.StatusOK)
	patch.body = object{"description": "b"}
	h.do(patch).problem(http.StatusPreconditionFailed, "precondition_failed")
	patch.header["If-Match"] = `"2"`
	h.do(patch).as(http.StatusOK)
}

func TestEventsAreListed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	for n := range 4 {
		h.do(request{method: http.MethodPatch, path: "/api/v1/models/digits", body: object{"description": strconv.Itoa(n)}}).as(http.StatusOK)
	}
	other := digits()
	other["model_id"] = "other"
	h.post("/api/v1/models", other).as(http.StatusCreated)

	require.Len(t, h.get("/api/v1/events").items(), 6)
	require.Len(t, h.get("/api/v1/models/digits/events").items(), 5)
	require.Len(t, h.get("/api/v1/events?type=ModelCreated").items(), 2)
	require.Len(t, h.get("/api/v1/events?type=ModelCreated&type=ModelMetadataUpdated&limit=200").items(), 6)
	require.Empty(t, h.get("/api/v1/events?to=2020-01-01T00:00:00Z").items())
	require.Len(t, h.get("/api/v1/events?from=2020-01-01T00:00:00Z").items(), 6)
	page := h.get("/api/v1/events?limit=4").as(http.StatusOK)
	require.Equal(t, "4", page["next_cursor"])
	rest := h.get("/api/v1/events?limit=4&after=4").items()
	require.Len(t, rest, 2)
	for _, name := range []string{
		"position", "event_id", "tenant_id", "aggregate_type", "aggregate_id", "aggregate_version", "event_type", "event_version",
		"event_data", "metadata", "occurred_at", "recorded_at", "causation_id", "correlation_id", "digest",
	} {
		require.Contains(t, rest[1], name)
	}
	h.get("/api/v1/models/nope/events").problem(http.StatusNotFound, "not_found")
}

// A caller who names a position waits until the answer has seen it.
func TestReadersWaitForTheirPosition(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := h.registry.Handle(t.Context(), h.tenant, domain.CreateModel{
		ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp",
	}, domain.Meta{Actor: domain.Actor{Subject: "bob", Auth: domain.AuthLocal}})
	require.NoError(t, err)
	a := h.do(request{path: "/api/v1/models/digits", header: map[string]string{"Phantom-Min-Position": "1"}})
	a.as(http.StatusOK)
	require.GreaterOrEqual(t, a.position(), int64(1))
}

// Versions, deployments and rollouts come from what was recorded, and of a model that is there.
func TestVersionsDeploymentsAndRollouts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ids := h.furnish()

	version := h.get("/api/v1/models/digits/versions/1").as(http.StatusOK)
	require.Equal(t, artifactOf("a"), version["artifacts_location"])
	require.Len(t, h.get("/api/v1/models/digits/versions").items(), 2)
	require.Empty(t, h.get("/api/v1/models/digits/versions?as_of=4").items())
	deployments := h.get("/api/v1/models/digits/deployments?current=true&target=local").items()
	require.Len(t, deployments, 1)
	require.EqualValues(t, 100, deployments[0]["weight"])
	rollouts := h.get("/api/v1/models/digits/rollouts?state=promoted").items()
	require.Len(t, rollouts, 1)
	require.Equal(t, ids.rollout, rollouts[0]["rollout_id"])
	require.Equal(t, rollouts[0]["rollout_id"], h.get("/api/v1/rollouts").items()[0]["rollout_id"])
	rollout := h.get("/api/v1/rollouts/" + ids.rollout).as(http.StatusOK)
	require.Equal(t, rollout, h.get("/api/v1/models/digits/rollouts/"+ids.rollout).as(http.StatusOK))
	require.Equal(t, []any{}, rollout["verdicts"])
	trainings := h.get("/api/v1/trainings?state=completed").items()
	require.Equal(t, trainings, h.get("/api/v1/models/digits/trainings").items())
	require.Equal(t, ids.job, trainings[0]["training_job_id"])
	curves := h.get("/api/v1/models/digits/trainings/" + ids.job + "/metrics?max_points=2").items()
	require.Len(t, curves, 1)
	require.Len(t, curves[0]["points"], 2)

	other := digits()
	other["model_id"] = "other"
	h.post("/api/v1/models", other).as(http.StatusCreated)
	for _, path := range []string{"versions", "deployments", "rollouts", "trainings"} {
		require.Empty(t, h.get("/api/v1/models/other/"+path).items())
		h.get("/api/v1/models/nope/"+path).problem(http.StatusNotFound, "not_found")
	}
	h.get("/api/v1/models/other/trainings/"+ids.job).problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/models/other/trainings/"+ids.job+"/logs").problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/models/other/rollouts/"+ids.rollout).problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/models/digits/versions/3").problem(http.StatusNotFound, "not_found")
	require.Equal(t, string(readmodel.TrainingCompleted), h.get("/api/v1/trainings/" + ids.job).as(http.StatusOK)["state"])
}
