package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/internal/config"
	"phantom/workflows"
)

// server plays one saga on the run's Temporal server: what the time-skipping environment cannot show, it
// does. Workflows, activities, registry and client are real; the trainer is scripted, the store in memory.
type server struct {
	t       *testing.T
	client  client.Client
	queue   string
	books   *books
	files   *files
	trainer *scripted
	child   func(workflow.Context) (map[string]any, error) // stands for DeployModel
}

func newServer(t *testing.T, s script) *server {
	t.Helper()
	stack, err := config.TestStack()
	require.NoError(t, err)
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: stack.Temporal.Address, Namespace: stack.Temporal.Namespace,
		Logger: quiet(),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	registerSearchAttributes(t, c, stack.Temporal.Namespace)
	return &server{
		t: t, client: c, queue: "test-" + uuid.NewString(), books: newBooks(), files: &files{}, trainer: newTrainer(s),
	}
}

// registerSearchAttributes does what the worker does at bootstrap, and waits until the server knows.
func registerSearchAttributes(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	known, err := c.OperatorService().ListSearchAttributes(t.Context(),
		&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	require.NoError(t, err)
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range workflows.SearchAttributes() {
		if _, has := known.GetCustomAttributes()[name]; !has {
			missing[name] = kind
		}
	}
	if len(missing) == 0 {
		return
	}
	// Another test may be faster; what counts is that they are there in the end.
	_, _ = c.OperatorService().AddSearchAttributes(t.Context(),
		&operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	require.Eventually(t, func() bool {
		known, err := c.OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if err != nil {
			return false
		}
		for name := range missing {
			if _, has := known.GetCustomAttributes()[name]; !has {
				return false
			}
		}
		return true
	}, 20*time.Second, 100*time.Millisecond)
}

// worker starts one worker for everything; the test, or its end, stops it.
func (sv *server) worker() (stop func()) {
	sv.t.Helper()
	w := worker.New(sv.client, sv.queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	workflows.New(workflows.Settings{
		Queues:   workflows.Queues{Orchestration: sv.queue, Training: sv.queue, Projection: sv.queue},
		Attempts: 2,
	}).Register(w)
	w.RegisterActivity(&activities.Training{
		Commands: sv.books, Aggregates: sv.books, Artifacts: sv.files, Targets: sv.files,
	})
	w.RegisterActivity(&activities.Approvals{Commands: sv.books})
	w.RegisterActivity(&activities.Trainer{
		Trainer: sv.trainer, Datasets: sv.files, Commands: sv.books, Aggregates: sv.books, Signals: sv.client,
	})
	if sv.child != nil {
		w.RegisterWorkflowWithOptions(sv.child, workflow.RegisterOptions{Name: workflows.KindDeployModel, DisableAlreadyRegisteredCheck: true})
	}
	require.NoError(sv.t, w.Start())
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			w.Stop()
		}
	}
	sv.t.Cleanup(stop)
	return stop
}

// saga is a running TrainModel.
type saga struct {
	client.WorkflowRun
	*server
}

func (sv *server) start(in any) saga {
	sv.t.Helper()
	run, err := sv.client.ExecuteWorkflow(sv.t.Context(), client.StartWorkflowOptions{
		ID: "train:default:digits:" + sv.queue, TaskQueue: sv.queue, StaticSummary: "train digits",
	}, workflows.KindTrainModel, in)
	require.NoError(sv.t, err)
	return saga{WorkflowRun: run, server: sv}
}

// waitsFor returns when the saga waits for it.
func (s saga) waitsFor(what workflows.Waiting) {
	s.t.Helper()
	s.until(func(status workflows.Status) bool { return status.WaitingFor != nil && *status.WaitingFor == what })
}

func (s saga) until(holds func(workflows.Status) bool) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		status, err := s.status()
		return err == nil && holds(status)
	}, 30*time.Second, 50*time.Millisecond)
}

func (s saga) status() (workflows.Status, error) {
	var status workflows.Status
	value, err := s.client.QueryWorkflow(s.t.Context(), s.GetID(), s.GetRunID(), "status")
	if err != nil {
		return status, err
	}
	return status, value.Get(&status)
}

func (s saga) update(name string, payload any) error {
	s.t.Helper()
	handle, err := s.client.UpdateWorkflow(s.t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: s.GetID(), RunID: s.GetRunID(), UpdateName: name, Args: []any{payload},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(s.t.Context(), nil)
}

func (s saga) cancel() {
	s.t.Helper()
	require.NoError(s.t, s.client.CancelWorkflow(s.t.Context(), s.GetID(), s.GetRunID()))
}

// outcome is how the saga ended: its result's outcome, "canceled", or the type of its failure.
func (s saga) outcome() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	var result workflows.TrainModelResult
	err := s.Get(ctx, &result)
	require.NoError(s.t, ctx.Err(), "the saga does not end")
	if err == nil {
		return result.Outcome
	}
	if kind := activities.ErrorType(err); kind != "" {
		return kind
	}
	description, err := s.client.DescribeWorkflowExecution(s.t.Context(), s.GetID(), s.GetRunID())
	require.NoError(s.t, err)
	if description.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_CANCELED {
		return workflows.StageCanceled
	}
	return description.GetWorkflowExecutionInfo().GetStatus().String()
}
