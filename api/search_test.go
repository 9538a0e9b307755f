package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

func TestSearchAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	created := h.createDigits()
	h.create("other")
	a := h.do(request{path: "/api/v1/search?q=vision", header: map[string]string{"Phantom-Min-Position": created.header.Get("Phantom-Position")}})
	o := a.as(http.StatusOK)
	require.Len(t, a.items(), 1)
	require.Equal(t, "digits", a.items()[0]["model_id"])
	require.Equal(t, object{"value": 1.0, "relation": "eq"}, o["total"])
	require.Positive(t, o["took_ms"])
	require.Positive(t, a.position())
	h.get("/api/v1/search").problem(http.StatusUnprocessableEntity, "invalid_input")
	require.Equal(t, []string{"q"}, h.get("/api/v1/search?q=%26").problem(http.StatusUnprocessableEntity, "invalid_input"))
	require.Equal(t, []string{"as_of"}, h.get("/api/v1/search?q=a&as_of=1").problem(http.StatusBadRequest, "as_of_not_supported"))
	require.Equal(t, []string{"at_revision"}, h.get("/api/v1/models?at_revision=1").problem(http.StatusBadRequest, "as_of_not_supported"))
}

func TestLineageTellsTheWayOfAVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	const job = domain.JobID("6f2b1f0e-6d0e-4b57-a79a-0f6a3f1d6a11")
	digest := domain.Digest("sha256:" + strings.Repeat("a", 64))
	h.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest})
	h.handle(domain.StartTraining{
		ModelID: "digits", TrainingJobID: job, TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Seed: 7},
		DatasetInfo: []domain.DatasetInfo{{URI: "u", Digest: digest}},
	})
	h.handle(domain.CompleteTraining{ModelID: "digits", TrainingJobID: job, ArtifactsLocation: digest, CodeDigest: "code"})
	before := h.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest, TrainingJobID: job})
	after := h.handle(domain.DeployModel{ModelID: "digits", Version: "2", DeploymentTarget: "prod"})
	h.settled(after)

	const path = "/api/v1/models/digits/versions/2/lineage"
	o := h.get(path).as(http.StatusOK)
	require.Equal(t, "2", o["version"].(object)["version"])
	require.Equal(t, "1", o["previous"].(object)["version"])
	training := o["training"].(object)
	require.Equal(t, string(job), training["training_job_id"])
	require.Equal(t, "code", training["code_digest"])
	require.Equal(t, "bob", training["started_by"].(object)["subject"])
	require.Equal(t, string(digest), training["datasets"].([]any)[0].(object)["digest"])
	require.Len(t, o["deployments"], 1)
	require.Empty(t, o["rollouts"])

	then := h.get(path + "?at_revision=" + strconv.FormatInt(before.Revision, 10))
	require.Empty(t, then.as(http.StatusOK)["deployments"], "as it was before")
	require.Equal(t, before.Position, then.position())
	require.Equal(t, then.body, h.get(path+"?as_of="+strconv.FormatInt(before.Position, 10)).body)
	for _, list := range []string{"versions", "deployments", "trainings", "rollouts"} {
		asked := "/api/v1/models/digits/" + list
		past := h.get(asked + "?at_revision=" + strconv.FormatInt(before.Revision, 10))
		past.as(http.StatusOK)
		require.Equal(t, before.Position, past.position(), list)
		require.Equal(t, past.body, h.get(asked+"?as_of="+strconv.FormatInt(before.Position, 10)).body, list)
		require.Equal(t, []string{"at_revision"}, h.get(asked+"?at_revision=1&as_of=1").problem(http.StatusUnprocessableEntity, "invalid_input"))
		h.get(asked+"?at_revision=99").problem(http.StatusNotFound, "not_found")
	}
	h.get("/api/v1/models/digits/versions/9/lineage").problem(http.StatusNotFound, "not_found")
}
