package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/domain"
	"phantom/workflows"
)

// loops is what a worker knows of its projection loops.
type loops struct {
	mu     sync.Mutex
	status activities.ProjectionStatus
}

func (l *loops) Status(_ context.Context, name string) (activities.ProjectionStatus, error) {
	if name != "catalogue" {
		return activities.ProjectionStatus{}, &domain.NotFound{Kind: "projection", ID: name}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status, nil
}

func (sv *server) projectionRunner(l *loops, in any) client.WorkflowRun {
	sv.t.Helper()
	w := worker.New(sv.client, sv.queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	workflows.New(workflows.Settings{
		Queues: workflows.Queues{Orchestration: sv.queue, Training: sv.queue, Projection: sv.queue},
	}).Register(w)
	w.RegisterActivity(&activities.Projection{Projections: l, Signals: sv.client})
	require.NoError(sv.t, w.Start())
	sv.t.Cleanup(w.Stop)
	run, err := sv.client.ExecuteWorkflow(sv.t.Context(), client.StartWorkflowOptions{
		ID: "projection:" + sv.queue, TaskQueue: sv.queue,
	}, workflows.KindProjectionRunner, in)
	require.NoError(sv.t, err)
	return run
}

func TestProjectionRunnerShowsHowFarTheLoopIs(t *testing.T) {
	t.Parallel()
	sv := newServer(t, script{})
	l := &loops{status: activities.ProjectionStatus{Applied: 30, Head: 40, Parked: 1}}
	s := saga{WorkflowRun: sv.projectionRunner(l, input{"name": "catalogue"}), server: sv}
	require.Eventually(t, func() bool {
		value, err := sv.client.QueryWorkflow(t.Context(), s.GetID(), "", "progress")
		if err != nil {
			return false
		}
		var progress workflows.Progress
		return value.Get(&progress) == nil && progress.Percentage == 75 &&
			progress.Message == "30 of 40 events applied, 1 parked"
	}, 20*time.Second, 50*time.Millisecond)
	status, err := s.status()
	require.NoError(t, err)
	require.Equal(t, "apply", status.Stage)
	require.Equal(t, int64(30), status.Position)

	s.cancel()
	var canceled *temporal.CanceledError
	require.ErrorAs(t, s.Get(t.Context(), nil), &canceled)
	s.keepHistory("ProjectionRunner_canceled")
}

func TestProjectionRunnerRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in   input
		kind string
	}{
		"no name":       {input{}, "InvalidInput"},
		"unknown":       {input{"name": "moon"}, "NotFound"},
		"unknown field": {input{"name": "catalogue", "speed": 3}, "InvalidInput"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sv := newServer(t, script{})
			err := sv.projectionRunner(&loops{}, test.in).Get(t.Context(), nil)
			require.Equal(t, test.kind, activities.ErrorType(err))
		})
	}
}
