package workflows_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
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
	told   []activities.ProjectionSteering
	lost   bool // it does what it is told, and nobody hears of it
}

func (l *loops) Status(_ context.Context, name string) (activities.ProjectionStatus, error) {
	if name != "catalogue" {
		return activities.ProjectionStatus{}, &domain.NotFound{Kind: "projection", ID: name}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status, nil
}

func (l *loops) Steer(_ context.Context, s activities.ProjectionSteering) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, s)
	switch {
	case l.lost:
		return errors.New("the answer was lost")
	case s.What == "rebuild" && s.Back:
		return &domain.InvalidState{Reason: "it keeps no former generation"}
	case s.What == "pause":
		l.status.Paused = true
	case s.What == "rebuild":
		l.status.Rebuild = &activities.ProjectionRebuild{Generation: 2, Percentage: 12.5, Rate: 5000, ETASeconds: 7}
	}
	return nil
}

func (l *loops) times() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told)
}

func (sv *server) projectionRunner(l *loops, in any) client.WorkflowRun {
	sv.t.Helper()
	return sv.runProjection(in, func(w worker.Worker) {
		w.RegisterActivity(&activities.Projection{Projections: l, Signals: sv.client})
	})
}

// runProjection starts a ProjectionRunner, and a worker for it with the activities that are registered.
func (sv *server) runProjection(in any, register func(worker.Worker)) client.WorkflowRun {
	sv.t.Helper()
	w := worker.New(sv.client, sv.queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	workflows.New(workflows.Settings{
		Queues: workflows.Queues{Orchestration: sv.queue, Training: sv.queue, Projection: sv.queue},
	}).Register(w)
	register(w)
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

func TestProjectionRunnerSteers(t *testing.T) {
	t.Parallel()
	sv := newServer(t, script{})
	l := &loops{status: activities.ProjectionStatus{Applied: 30, Head: 40}}
	s := saga{WorkflowRun: sv.projectionRunner(l, input{"name": "catalogue"}), server: sv}
	require.NoError(t, s.update("pause", input{"reason": "a new index"}))
	require.NoError(t, s.update("resume", nil))
	require.NoError(t, s.update("rewind", input{"tenant": "acme", "position": 7}))
	require.NoError(t, s.update("rebuild", input{"throttle": 5000}))
	require.NoError(t, s.update("retry", nil))
	require.ErrorContains(t, s.update("rebuild", input{"back": true}), "it keeps no former generation")
	require.ErrorContains(t, s.update("rewind", input{"tenant": "No!"}), "tenant")
	require.ErrorContains(t, s.update("pause", input{"for": "ever"}), "for")
	throttle := 5000
	require.Equal(t, []activities.ProjectionSteering{
		{Name: "catalogue", What: "pause", Tenant: "default", Reason: "a new index"},
		{Name: "catalogue", What: "resume", Tenant: "default"},
		{Name: "catalogue", What: "rewind", Tenant: "acme", Position: 7},
		{Name: "catalogue", What: "rebuild", Tenant: "default", Throttle: &throttle},
		{Name: "catalogue", What: "retry", Tenant: "default"},
		{Name: "catalogue", What: "rebuild", Tenant: "default", Back: true},
	}, l.told)
	value, err := sv.client.QueryWorkflow(t.Context(), s.GetID(), "", "progress")
	require.NoError(t, err)
	var progress workflows.Progress
	require.NoError(t, value.Get(&progress))
	require.Equal(t, "30 of 40 events applied, 0 parked; paused; generation 2 is filled to 12 %, 5000/s", progress.Message)
	require.InDelta(t, 7, progress.Metrics["rebuild_eta_seconds"], 0)
	s.cancel()
	var canceled *temporal.CanceledError
	require.ErrorAs(t, s.Get(t.Context(), nil), &canceled)
	s.keepHistory("ProjectionRunner_steered")
}

// A rebuild, the way back and a drop are told once: told twice, the way back is undone, and a drop takes away what is kept.
func TestProjectionRunnerTellsARebuildOnce(t *testing.T) {
	t.Parallel()
	sv := newServer(t, script{})
	l := &loops{status: activities.ProjectionStatus{Applied: 30, Head: 40}, lost: true}
	s := saga{WorkflowRun: sv.projectionRunner(l, input{"name": "catalogue"}), server: sv}
	require.ErrorContains(t, s.update("rebuild", input{"drop": true}), "the answer was lost")
	require.Equal(t, 1, l.times())
	require.ErrorContains(t, s.update("pause", nil), "the answer was lost")
	require.Greater(t, l.times(), 2, "a pause can be told again")
}

// A cancel that comes while the activity ends by itself is not lost with the run: the next one would not know of it.
func TestProjectionRunnerIsCancelledBetweenTwoRuns(t *testing.T) {
	t.Parallel()
	sv := newServer(t, script{})
	attached, cancelled := make(chan struct{}, 1), make(chan struct{})
	run := sv.runProjection(input{"name": "catalogue"}, func(w worker.Worker) {
		attach := func(ctx context.Context, _ activities.ProjectionAttach) (activities.ProjectionStatus, error) {
			attached <- struct{}{}
			select {
			case <-cancelled: // it has reported enough, and has not heard of the cancel
				return activities.ProjectionStatus{Applied: 40, Head: 40}, nil
			case <-ctx.Done():
				return activities.ProjectionStatus{}, ctx.Err()
			}
		}
		w.RegisterActivityWithOptions(attach, activity.RegisterOptions{Name: "AttachProjection"})
	})
	s := saga{WorkflowRun: run, server: sv}
	<-attached
	s.cancel()
	close(cancelled)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var canceled *temporal.CanceledError
	require.ErrorAs(t, s.Get(ctx, nil), &canceled)
}
