package activities_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"phantom/activities"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/registry"
	"phantom/training"
)

const (
	job    = domain.JobID("8d6b3b1e-8d5c-4b0a-9d0a-5a9f3f0f8a11")
	digest = domain.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
)

// stage runs one activity over the registry, the store in memory and a trainer that says what it is told.
type stage struct {
	t        *testing.T
	env      *testsuite.TestActivityEnvironment
	store    *eventstoretest.Memory
	registry *registry.Registry
	trainer  *told
	datasets map[string]error // the refusals, by URI
	signals  []activities.Progress
}

func newStage(t *testing.T, says ...training.Observation) *stage {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	store := eventstoretest.NewMemory()
	s := &stage{
		t: t, env: suite.NewTestActivityEnvironment(), store: store, registry: registry.New(store),
		trainer: &told{says: says},
	}
	s.env.RegisterActivity(&activities.Trainer{
		Trainer: s.trainer, Datasets: s, Commands: s.registry, Aggregates: s.registry, Signals: s,
	})
	s.env.RegisterActivity(&activities.Training{
		Commands: s.registry, Aggregates: s.registry, Artifacts: s, Targets: s,
	})
	return s
}

func (s *stage) handle(id string, cmd domain.Command) {
	s.t.Helper()
	_, err := s.registry.Handle(s.t.Context(), "default", cmd, domain.Meta{CommandID: id, Actor: actor()})
	require.NoError(s.t, err)
}

func actor() domain.Actor { return domain.Actor{Subject: "nightly", Auth: domain.AuthTemporal} }

// running makes the model and starts the job.
func (s *stage) running() *stage {
	s.t.Helper()
	s.handle("create", createDigits())
	s.handle("start", startDigits())
	return s
}

func createDigits() domain.CreateModel {
	return domain.CreateModel{
		ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp",
		Tags: map[string]string{"team": "vision"},
	}
}

func startDigits() domain.StartTraining {
	return domain.StartTraining{
		ModelID: "digits", TrainingJobID: job, DatasetInfo: []domain.DatasetInfo{{URI: "a.csv", Label: "label"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	}
}

func origin(id string, earlier ...string) activities.Origin {
	return activities.Origin{
		Tenant: "default", Meta: domain.Meta{CommandID: id, Actor: actor()}, Earlier: earlier,
	}
}

func trainerRun(o activities.Origin) activities.TrainerRun {
	return activities.TrainerRun{Origin: o, ModelID: "digits", TrainingJobID: job}
}

func (s *stage) run(o activities.Origin) (activities.TrainerRan, error) {
	s.t.Helper()
	var ran activities.TrainerRan
	value, err := s.env.ExecuteActivity("RunTrainer", trainerRun(o))
	if err != nil {
		return ran, err
	}
	return ran, value.Get(&ran)
}

// progress is every epoch in the log, with its loss.
func (s *stage) progress() map[int]float64 {
	s.t.Helper()
	events, err := s.store.ReadLog(s.t.Context(), "default", eventstore.Lifecycle, 0, nil, 10_000)
	require.NoError(s.t, err)
	epochs := map[int]float64{}
	for _, event := range events {
		recorded, err := registry.Decode(event)
		require.NoError(s.t, err)
		if progress, ok := recorded.Event.(domain.TrainingProgressUpdated); ok {
			require.NotContains(s.t, epochs, progress.Epoch, "an epoch stands in the log once")
			epochs[progress.Epoch] = progress.Metrics["loss"]
		}
	}
	return epochs
}

func (s *stage) Exists(context.Context, domain.Digest) (bool, error) { return true, nil }
func (s *stage) Names() []domain.Target                              { return []domain.Target{"local"} }

func (s *stage) Snapshot(_ context.Context, uri, label string) (domain.DatasetInfo, error) {
	if err := s.datasets[uri]; err != nil {
		return domain.DatasetInfo{}, err
	}
	return domain.DatasetInfo{URI: "elsewhere", Digest: digest, Format: "csv", Rows: 10, Label: label}, nil
}

func (s *stage) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	s.signals = append(s.signals, arg.(activities.Progress))
	return nil
}

// told is a trainer that answers Observe with what it was told, one after the other.
type told struct {
	mu        sync.Mutex
	says      []training.Observation
	onObserve func()
	slow      int // how many observations do not come in time
	invalid   error
	signalErr error
	orders    []training.Order
	submitted int
	outcome   training.Outcome
}

func (t *told) Submit(_ context.Context, key string, _ training.Spec) (training.Handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.submitted++
	return training.Handle(key), t.invalid
}

func (t *told) Observe(ctx context.Context, _ training.Handle, _ training.Cursor) (training.Observation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slow > 0 {
		t.slow--
		<-ctx.Done()
		return training.Observation{}, ctx.Err()
	}
	if t.onObserve != nil {
		t.onObserve()
	}
	next := t.says[0]
	if len(t.says) > 1 {
		t.says = t.says[1:]
	}
	return next, nil
}

func (t *told) Signal(_ context.Context, _ training.Handle, order training.Order) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orders = append(t.orders, order)
	return t.signalErr
}

func (t *told) Collect(context.Context, training.Handle) (training.Outcome, error) {
	return t.outcome, nil
}

func (t *told) Forget(context.Context, training.Handle) error { return nil }

func epoch(state training.State, epochs, number int, loss float64) training.Observation {
	return training.Observation{State: state, Epochs: epochs, Points: []training.Point{{
		Epoch: number, Step: int64(number), Metrics: map[string]float64{"loss": loss},
	}}}
}
