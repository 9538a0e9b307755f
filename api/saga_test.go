package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"phantom/domain"
	"phantom/workflows"
)

const trainingsPath = "/api/v1/models/digits/trainings"

// A training from its request to its version, steered and watched over HTTP.
func TestTrainingIsSteered(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.work()
	h.createDigits()

	started := h.start(http.MethodPost, trainingsPath, "nightly", trainDigits())
	id := text(started.as(http.StatusAccepted)["saga_id"])
	require.Equal(t, "train:"+string(h.tenant)+":digits:nightly", id)
	require.Equal(t, object{"saga_id": id, "workflow_id": id, "location": "/api/v1/sagas/" + id}, started.as(http.StatusAccepted))
	require.Equal(t, "/api/v1/sagas/"+id, started.header.Get("Location"))

	saga := h.until(id, waitsFor("approval"))
	require.Equal(t, "TrainModel", saga["kind"])
	require.Equal(t, "digits", saga["model_id"])
	require.Equal(t, "train digits (logistic_regression)", saga["summary"])
	require.Nil(t, saga["result"])
	require.Contains(t, saga["status"].(object)["allowed_actions"], "approve")
	h.sameTrainingAttaches(id)
	h.waitingIsListed(id)
	h.senselessIsRefused(id)

	approved := h.post("/api/v1/sagas/"+id+"/approve", object{"note": "fine"}).as(http.StatusOK)
	require.Equal(t, "approve", approved["action"])
	require.Positive(t, approved["position"])
	saga = h.until(id, inState("completed"))
	require.Equal(t, "registered", saga["result"].(object)["outcome"])
	require.Equal(t, "registered", saga["status"].(object)["stage"], "an ended saga still answers")
	require.NotNil(t, saga["ended_at"])
	h.post("/api/v1/sagas/"+id+"/approve", nil).problem(http.StatusConflict, "invalid_state")
	h.post("/api/v1/sagas/"+id+"/cancel", nil).problem(http.StatusConflict, "invalid_state")
	require.Equal(t, id, h.start(http.MethodPost, trainingsPath, "nightly", trainDigits()).as(http.StatusAccepted)["saga_id"])
	require.Len(t, h.get("/api/v1/events?type=TrainingStarted").items(), 1)
	h.approvalIsByTheCaller()
	h.logTells(saga["result"].(object))
}

// sameTrainingAttaches: the same request comes to the same saga, another one under its key is refused.
func (h *house) sameTrainingAttaches(id string) {
	h.t.Helper()
	require.Equal(h.t, id, h.start(http.MethodPost, trainingsPath, "nightly", trainDigits()).as(http.StatusAccepted)["saga_id"])
	other := trainDigits()
	other["seed"] = 2
	h.start(http.MethodPost, trainingsPath, "nightly", other).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
}

func (h *house) waitingIsListed(id string) {
	h.t.Helper()
	for _, query := range []string{"waiting_for=approval", "kind=TrainModel&model_id=digits", "state=running&limit=1", ""} {
		require.Eventually(h.t, func() bool { // Temporal's index follows its log
			items := h.get("/api/v1/sagas?" + query).items()
			return len(items) == 1 && items[0]["saga_id"] == id && items[0]["status"] != nil
		}, patience, poll, query)
	}
	for _, query := range []string{"waiting_for=retry_step", "kind=DeployModel", "model_id=other", "state=failed"} {
		require.Empty(h.t, h.get("/api/v1/sagas?"+query).items(), query)
	}
}

func (h *house) senselessIsRefused(id string) {
	h.t.Helper()
	h.post("/api/v1/sagas/"+id+"/promote", nil).problem(http.StatusConflict, "invalid_state")
	refusal := h.post("/api/v1/sagas/"+id+"/retry_step", nil)
	refusal.problem(http.StatusConflict, "invalid_state")
	require.Contains(h.t, text(refusal.as(http.StatusConflict)["detail"]), "approve, reject, cancel")
	stranger := map[string]string{"Phantom-Tenant": string(h.tenant) + "-other"}
	for _, action := range []string{"approve", "reject", "cancel"} {
		h.do(request{method: http.MethodPost, path: "/api/v1/sagas/" + id + "/" + action, header: stranger}).problem(http.StatusNotFound, "not_found")
	}
	h.do(request{path: "/api/v1/sagas/" + id, header: stranger}).problem(http.StatusNotFound, "not_found")
	require.Empty(h.t, h.do(request{path: "/api/v1/sagas", header: stranger}).items())
}

func (h *house) approvalIsByTheCaller() {
	h.t.Helper()
	decided := h.get("/api/v1/events?type=ApprovalDecided").items()
	require.Len(h.t, decided, 1)
	require.Equal(h.t, object{"subject": "ann", "auth": "local", "verified": false}, decided[0]["event_data"].(object)["by"])
}

// logTells: the log of a training is there after it, and following it ends.
func (h *house) logTells(result object) {
	h.t.Helper()
	for _, query := range []string{"", "?follow=true"} {
		log := h.get(trainingsPath + "/" + text(result["training_job_id"]) + "/logs" + query)
		require.Equal(h.t, http.StatusOK, log.status)
		require.Equal(h.t, "text/plain; charset=utf-8", log.header.Get("Content-Type"))
		lines := strings.Split(strings.TrimSpace(string(log.body)), "\n")
		require.Contains(h.t, lines[0], "started trainer=embedded algorithm=logistic_regression seed=1")
		for n, epoch := range []string{"epoch 1/3", "epoch 2/3", "epoch 3/3"} {
			require.Contains(h.t, lines[1+n], epoch)
			require.Contains(h.t, lines[1+n], " loss=0.")
		}
		require.Contains(h.t, lines[4], "completed in ")
		require.Contains(h.t, lines[len(lines)-1], "registered as version 1")
	}
}

// A saga that was cancelled says so, and its key is free again.
func TestTrainingIsCancelled(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.work()
	input := trainDigits()
	input["create"] = object{"name": "Digits"}
	id := text(h.start(http.MethodPost, trainingsPath, "a", input).as(http.StatusAccepted)["saga_id"])
	h.until(id, waitsFor("approval"))
	h.post("/api/v1/sagas/"+id+"/cancel", nil).as(http.StatusAccepted)
	saga := h.until(id, inState("canceled"))
	require.Equal(t, "the saga was cancelled", saga["error"])
	require.Nil(t, saga["result"])

	input["seed"] = 2
	require.Equal(t, id, h.start(http.MethodPost, trainingsPath, "a", input).as(http.StatusAccepted)["saga_id"])
	require.NotEqual(t, saga["run_id"], h.until(id, inState("running"))["run_id"])
}

// A saga that failed says why in words for people.
func TestTrainingFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.work()
	h.createDigits()
	input := trainDigits()
	input["data"] = object{"train": object{"uri": "../examples/digits/digits.csv", "label": "nope"}}
	id := text(h.start(http.MethodPost, trainingsPath, "", input).as(http.StatusAccepted)["saga_id"])
	saga := h.until(id, inState("failed"))
	require.Contains(t, saga["error"], "nope")
	require.NotContains(t, saga["error"], "attempt")
}

// Deployments are refused early, attach, and meet each other by their target; nobody works on them here.
func TestDeploymentIsStartedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.furnish()
	const path = "/api/v1/models/digits/deployments"
	require.Equal(t, []string{"/target"}, h.post(path, object{"version": "2", "target": "mars"}).problem(http.StatusUnprocessableEntity, "invalid_input"))
	h.post(path, object{"version": "9", "target": "local"}).problem(http.StatusNotFound, "not_found")
	h.post("/api/v1/models/nope/deployments", object{"version": "1", "target": "local"}).problem(http.StatusNotFound, "not_found")

	started := h.start(http.MethodPost, path, "k", object{"version": "latest", "target": "local"}).as(http.StatusAccepted)
	id := text(started["saga_id"])
	require.Equal(t, "deploy:"+string(h.tenant)+":digits:local", id)
	require.Equal(t, started, h.start(http.MethodPost, path, "", object{"version": "2", "target": "local"}).as(http.StatusAccepted), "latest is 2")
	h.start(http.MethodPost, path, "other", object{"version": "1", "target": "local"}).problem(http.StatusConflict, "conflict")
	h.start(http.MethodPost, path, "k", object{"version": "1", "target": "local"}).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")

	saga := h.get("/api/v1/sagas/" + id).as(http.StatusOK)
	require.Equal(t, "running", saga["state"])
	require.Nil(t, saga["status"], "nobody can answer for it")
	require.Nil(t, saga["progress"])
	require.Equal(t, "deploy digits version 2 to local", saga["summary"])
	h.refusesWhatIsNotThere()

	id = text(h.start(http.MethodDelete, path+"/local?reason=tired", "", nil).as(http.StatusAccepted)["saga_id"])
	require.Equal(t, "undeploy:"+string(h.tenant)+":digits:local", id)
	require.Equal(t, "UndeployModel", h.get("/api/v1/sagas/" + id).as(http.StatusOK)["kind"])
	id = text(h.start(http.MethodPost, path+"/local/rollback", "", object{"to": "2", "reason": "worse"}).as(http.StatusAccepted)["saga_id"])
	require.Equal(t, "rollback:"+string(h.tenant)+":digits:local", id)
}

func (h *house) refusesWhatIsNotThere() {
	h.t.Helper()
	const path = "/api/v1/models/digits/deployments/"
	for _, r := range []request{
		{method: http.MethodDelete, path: path + "mars"},
		{method: http.MethodPost, path: path + "mars/rollback"},
		{method: http.MethodPost, path: path + "local/rollback", body: object{"to": "9"}},
	} {
		h.do(r).problem(http.StatusNotFound, "not_found")
	}
	h.do(request{method: http.MethodDelete, path: path + "prod"}).problem(http.StatusConflict, "invalid_state")
	h.post(path+"prod/rollback", nil).problem(http.StatusConflict, "invalid_state")
	h.post(path+"local/rollback", nil).problem(http.StatusConflict, "invalid_state")
	h.do(request{
		method: http.MethodDelete, path: path + "local", header: map[string]string{"If-Match": `"1"`},
	}).problem(http.StatusPreconditionFailed, "precondition_failed")
}

// A saga that was started by Temporal's own tools, under any id, is found by its tenant and no other.
func TestSagaOfAnotherTool(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.work()
	id := "mine-" + h.params.Queue
	run, err := h.params.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: h.params.Queue},
		workflows.KindTrainModel, object{"tenant": h.tenant, "model_id": "nope", "data": object{"train": object{"uri": "x.csv"}}})
	require.NoError(t, err)
	require.Error(t, run.Get(t.Context(), nil))
	saga := h.get("/api/v1/sagas/" + id).as(http.StatusOK)
	require.Equal(t, "nope", saga["model_id"])
	require.Equal(t, "failed", saga["state"])
	require.Contains(t, saga["error"], "model nope not found")
	h.tenant += "-other"
	h.get("/api/v1/sagas/"+id).problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/sagas/projection:catalogue").problem(http.StatusNotFound, "not_found")
}

// What would fail in the saga is refused before it.
func TestTrainingIsRefusedEarly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.post(trainingsPath, trainDigits()).problem(http.StatusNotFound, "not_found")
	h.createDigits()
	elsewhere := trainDigits()
	elsewhere["deploy"] = object{"target": "mars"}
	require.Equal(t, []string{"/deploy/target"}, h.post(trainingsPath, elsewhere).problem(http.StatusUnprocessableEntity, "invalid_input"))
	h.handle(domain.StartTraining{
		ModelID: "digits", TrainingJobID: "11111111-1111-4111-8111-111111111111", DatasetInfo: []domain.DatasetInfo{{URI: "x", Label: "y"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	})
	h.post(trainingsPath, trainDigits()).problem(http.StatusConflict, "invalid_state")
	queued := trainDigits()
	queued["concurrency"] = "queue"
	h.start(http.MethodPost, trainingsPath, "", queued).as(http.StatusAccepted)
}

// A deployment's target is free again when it has ended, but its key still names it.
func TestDeploymentKeyOutlivesTheSaga(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.furnish()
	w := worker.New(h.params.Temporal, h.params.Queue, worker.Options{DisableRegistrationAliasing: true})
	w.RegisterWorkflowWithOptions(func(workflow.Context, object) (object, error) { return object{"outcome": "promoted"}, nil },
		workflow.RegisterOptions{Name: workflows.KindDeployModel})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	const path = "/api/v1/models/digits/deployments"
	second := object{"version": "2", "target": "local"}

	id := text(h.start(http.MethodPost, path, "k", second).as(http.StatusAccepted)["saga_id"])
	first := h.until(id, inState("completed"))
	require.Equal(t, object{"outcome": "promoted"}, first["result"])
	h.start(http.MethodPost, path, "k", second).as(http.StatusAccepted)
	require.Equal(t, first["run_id"], h.get("/api/v1/sagas/" + id).as(http.StatusOK)["run_id"])
	h.start(http.MethodPost, path, "k", object{"version": "1", "target": "local"}).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")

	h.start(http.MethodPost, path, "", second).as(http.StatusAccepted)
	require.NotEqual(t, first["run_id"], h.get("/api/v1/sagas/" + id).as(http.StatusOK)["run_id"])
}
