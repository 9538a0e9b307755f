package main

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"phantom/activities"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/workflows"
)

// steered is a catalogue that is kept up to date, and a way to tell it what to do.
type steered struct {
	t      *testing.T
	store  *eventstore.Store
	runner *projection.Runner
	reader *readmodel.Reader
	tell   func(what string, payload map[string]any) error
}

func newSteered(t *testing.T) *steered {
	t.Helper()
	pool := pgtest.New(t).Pool(t)
	s := &steered{t: t, store: eventstore.New(pool), reader: readmodel.NewReader(pool)}
	var err error
	s.runner, err = projection.NewRunner(projection.Params{
		Pool: pool, Feed: s.store, Projections: []projection.Projection{readmodel.Catalogue{}},
		Sweep: 20 * time.Millisecond, Steer: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.runner.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s
}

// plainly tells the runner itself, as the API does.
func plainly(t *testing.T) *steered {
	t.Helper()
	s := newSteered(t)
	s.tell = func(what string, payload map[string]any) error {
		text, err := json.Marshal(payload)
		require.NoError(t, err)
		steering := activities.ProjectionSteering{Name: readmodel.CatalogueName, What: what, Tenant: "default"}
		require.NoError(t, json.Unmarshal(text, &steering))
		return loops{s.runner}.Steer(t.Context(), steering)
	}
	return s
}

// byWorkflow tells the ProjectionRunner that is attached to the runner's loop.
func byWorkflow(t *testing.T) *steered {
	t.Helper()
	s := newSteered(t)
	stack, err := config.TestStack()
	require.NoError(t, err)
	c, err := client.DialContext(t.Context(), client.Options{HostPort: stack.Temporal.Address, Namespace: stack.Temporal.Namespace, Logger: newTemporalLog(zap.NewNop())})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	shared := &parts{temporal: c, namespace: stack.Temporal.Namespace}
	require.Eventually(t, func() bool { return shared.registerSearchAttributes(t.Context()) == nil }, time.Minute, 100*time.Millisecond)
	queue := "test-" + uuid.NewString()
	w := worker.New(c, queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	workflows.New(workflows.Settings{
		Queues: workflows.Queues{Orchestration: queue, Training: queue, Projection: queue},
	}).Register(w)
	w.RegisterActivity(&activities.Projection{Projections: loops{s.runner}, Signals: c})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "projection:" + queue, TaskQueue: queue},
		workflows.KindProjectionRunner, workflows.ProjectionRunnerInput{Name: readmodel.CatalogueName})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.TerminateWorkflow(ctx, run.GetID(), "", "the test is over")
	})
	s.tell = func(what string, payload map[string]any) error {
		handle, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: run.GetID(), UpdateName: what, Args: []any{payload}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err != nil {
			return err
		}
		return handle.Get(t.Context(), nil)
	}
	return s
}

func (s *steered) append(model, eventType, data string) int64 {
	s.t.Helper()
	done, err := s.store.Append(s.t.Context(), "default", eventstore.Lifecycle, []eventstore.Append{{
		Stream: eventstore.Stream{Type: "MLModel", ID: model}, Events: []eventstore.NewEvent{{
			ID: uuid.New(), Type: eventType, Version: 1, Data: json.RawMessage(data), Metadata: json.RawMessage(`{}`), OccurredAt: time.Now(),
		}},
	}}, nil)
	require.NoError(s.t, err)
	return done[0].Position
}

func (s *steered) create(model string) int64 {
	s.t.Helper()
	return s.append(model, "ModelCreated", `{"name":"N","model_type":"t","algorithm":"a","description":"d"}`)
}

func (s *steered) reaches(position int64, within time.Duration) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	return s.runner.WaitFor(ctx, readmodel.CatalogueName, "default", position)
}

func (s *steered) until(holds func(projection.Status) bool) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		status, err := s.runner.Status(s.t.Context(), readmodel.CatalogueName)
		return err == nil && holds(status)
	}, time.Minute, 10*time.Millisecond)
}

func (s *steered) models() int {
	s.t.Helper()
	page, err := s.reader.ListModels(s.t.Context(), "default", readmodel.ModelFilter{}, readmodel.Paging{})
	require.NoError(s.t, err)
	return len(page.Items)
}

// One story, whoever tells the projection: the runner, or the workflow.
func TestProjectionsAreSteeredTheSameWay(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]func(*testing.T) *steered{"plain runner": plainly, "ProjectionRunner": byWorkflow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := way(t)
			require.NoError(t, s.reaches(s.create("a"), time.Minute))
			require.NoError(t, s.tell("pause", map[string]any{"reason": "a new index"}))
			second := s.create("b")
			require.ErrorContains(t, s.reaches(second, 300*time.Millisecond), "it is paused since")
			require.NoError(t, s.tell("resume", map[string]any{}))
			require.NoError(t, s.reaches(second, time.Minute))

			require.NoError(t, s.tell("rewind", map[string]any{"position": 0}))
			require.NoError(t, s.reaches(second, time.Minute))
			require.Equal(t, 2, s.models())
			require.ErrorContains(t, s.tell("rewind", map[string]any{"position": 99}), "can be rewound to one from 0 to 1")

			s.append("a", "ModelMetadataUpdated", `{"tags":5}`)
			require.NoError(t, s.reaches(s.create("c"), time.Minute))
			require.Equal(t, 3, s.models(), "what is parked stops nobody else")
			require.NoError(t, s.tell("retry", map[string]any{}))
			s.until(func(st projection.Status) bool { return st.Parked == 1 })

			require.ErrorContains(t, s.tell("rebuild", map[string]any{"back": true}), "keeps no former generation")
			require.NoError(t, s.tell("rebuild", map[string]any{}))
			s.until(func(st projection.Status) bool { return st.Generation == 2 })
			require.Equal(t, 3, s.models())
			require.NoError(t, s.tell("rebuild", map[string]any{"back": true}))
			s.until(func(st projection.Status) bool { return st.Generation == 1 })
			require.NoError(t, s.tell("rebuild", map[string]any{"drop": true}))
			s.until(func(st projection.Status) bool { return len(st.Generations) == 1 })
			require.NoError(t, s.reaches(s.create("d"), time.Minute))
			require.Equal(t, 4, s.models())
		})
	}
}
