package api_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/api"
	"phantom/artifact"
	"phantom/domain"
	"phantom/internal/config"
	"phantom/training"
	"phantom/training/embedded"
	"phantom/workflows"
)

// withTemporal lets the API start sagas on the run's Temporal server, where nobody works on them yet.
func withTemporal(h *house, p *api.Params) {
	h.t.Helper()
	stack, err := config.TestStack()
	require.NoError(h.t, err)
	c, err := client.DialContext(h.t.Context(), client.Options{
		HostPort: stack.Temporal.Address, Namespace: stack.Temporal.Namespace, Logger: silent{},
	})
	require.NoError(h.t, err)
	h.t.Cleanup(c.Close)
	knowsAttributes(h.t, c, stack.Temporal.Namespace)
	p.Temporal = c
}

// knowsAttributes does what the worker does at bootstrap.
func knowsAttributes(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	missing := func() map[string]enums.IndexedValueType {
		known, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		require.NoError(t, err)
		left := map[string]enums.IndexedValueType{}
		for name, kind := range workflows.SearchAttributes() {
			if _, has := known.GetCustomAttributes()[name]; !has {
				left[name] = kind
			}
		}
		return left
	}
	if left := missing(); len(left) > 0 { // another test may be faster; what counts is that they are there
		_, _ = c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: left})
	}
	require.Eventually(t, func() bool { return len(missing()) == 0 }, patience, 100*time.Millisecond)
}

// work runs a worker for the house's queue: real sagas, activities and trainer.
func (h *house) work() {
	h.t.Helper()
	dir := h.t.TempDir()
	artifacts, err := artifact.Open(h.t.Context(), "file://"+filepath.Join(dir, "artifacts"))
	require.NoError(h.t, err)
	trainer, err := embedded.New(artifacts, filepath.Join(dir, "training"))
	require.NoError(h.t, err)
	w := worker.New(h.params.Temporal, h.params.Queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	workflows.New(workflows.Settings{
		Queues: workflows.Queues{Orchestration: h.params.Queue, Training: h.params.Queue, Projection: h.params.Queue}, Attempts: 2,
	}).Register(w)
	w.RegisterActivity(&activities.Approvals{Commands: h.registry})
	w.RegisterActivity(&activities.Training{
		Commands: h.registry, Aggregates: h.registry, Artifacts: artifacts, Targets: targets(h.params.Targets),
	})
	w.RegisterActivity(&activities.Trainer{
		Trainer: trainer, Datasets: files{artifacts}, Commands: h.registry, Aggregates: h.registry, Signals: h.params.Temporal,
	})
	require.NoError(h.t, w.Start())
	h.t.Cleanup(func() {
		w.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(h.t, trainer.Close(ctx))
		require.NoError(h.t, artifacts.Close())
	})
}

type targets []domain.Target

func (t targets) Names() []domain.Target { return t }

type files struct{ store *artifact.Store }

func (f files) Snapshot(ctx context.Context, uri, label string) (domain.DatasetInfo, error) {
	return training.SnapshotFile(ctx, f.store, uri, label)
}

// start posts a saga's input, and ends the saga with the test.
func (h *house) start(method, path, key string, body any) answer {
	h.t.Helper()
	r := request{method: method, path: path, body: body}
	if key != "" {
		r.header = map[string]string{"Idempotency-Key": key}
	}
	a := h.do(r)
	if a.status == http.StatusAccepted {
		id := text(a.as(http.StatusAccepted)["saga_id"])
		h.t.Cleanup(func() { // one that has ended is an error, and fine
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = h.params.Temporal.TerminateWorkflow(ctx, id, "", "the test is over")
		})
	}
	return a
}

// until looks at a saga until it is as wanted.
func (h *house) until(id string, holds func(object) bool) object {
	h.t.Helper()
	var saga object
	require.Eventually(h.t, func() bool {
		saga = h.get("/api/v1/sagas/" + id).as(http.StatusOK)
		return holds(saga)
	}, patience, 50*time.Millisecond)
	return saga
}

func waitsFor(what string) func(object) bool {
	return func(saga object) bool {
		status, known := saga["status"].(object)
		return known && status["waiting_for"] == what
	}
}

func inState(state string) func(object) bool {
	return func(saga object) bool { return saga["state"] == state }
}

// trainDigits is a short training that asks for approval.
func trainDigits() object {
	return object{
		"data": object{"train": object{"uri": "../examples/digits/digits.csv"}}, "algorithm": "logistic_regression",
		"params": object{"epochs": 3, "learning_rate": 0.01}, "approval": object{"timeout": "1h"},
	}
}
