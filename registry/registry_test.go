package registry_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
	"phantom/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const digest = domain.Digest("sha256:0000000000000000000000000000000000000000000000000000000000000001")

// stores are what every test runs on.
func stores() map[string]func(*testing.T) registry.Store {
	return map[string]func(*testing.T) registry.Store{
		"postgres": func(t *testing.T) registry.Store {
			t.Helper()
			return eventstore.New(pgtest.New(t).Pool(t))
		},
		"memory": func(*testing.T) registry.Store { return eventstoretest.NewMemory() },
	}
}

// desk is a caller of a registry: it handles commands for one tenant, and fails the test on an error.
type desk struct {
	*registry.Registry
	tenant domain.Tenant
}

func at(store registry.Store) desk {
	return desk{Registry: registry.New(store), tenant: "acme"}
}

func (d desk) do(t *testing.T, cmd domain.Command, meta domain.Meta) domain.Result {
	t.Helper()
	result, err := d.Handle(t.Context(), d.tenant, cmd, meta)
	require.NoError(t, err)
	return result
}

func (d desk) created(t *testing.T) domain.Result {
	t.Helper()
	return d.do(t, create(), domain.Meta{CommandID: "create"})
}

func (d desk) history(t *testing.T, stream domain.StreamID) []domain.Recorded {
	t.Helper()
	history, err := d.Recorded(t.Context(), d.tenant, stream)
	require.NoError(t, err)
	return history
}

// meddled lets a test change the world between the load and the append of a command.
type meddled struct {
	registry.Store
	appends atomic.Int64
	before  func(n int64) // called with 1, 2, … before each append
}

func (m *meddled) Append(ctx context.Context, tenant string, log eventstore.Log, appends []eventstore.Append,
	cmd *eventstore.CommandRecord,
) ([]eventstore.Appended, error) {
	m.before(m.appends.Add(1))
	return m.Store.Append(ctx, tenant, log, appends, cmd)
}

func create() domain.CreateModel {
	return domain.CreateModel{ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp"}
}

func configure(epochs int) domain.UpdateModelConfiguration {
	config := json.RawMessage(`{"epochs":` + strconv.Itoa(epochs) + `}`)
	return domain.UpdateModelConfiguration{ModelID: "digits", NewConfig: config, ChangeReason: "try"}
}

func start(job domain.JobID) domain.StartTraining {
	return domain.StartTraining{
		ModelID: "digits", TrainingJobID: job, Concurrent: true, DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	}
}

func newJob() domain.JobID { return domain.JobID(uuid.NewString()) }

func TestHandleAppendsWhatIsDecided(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			occurred := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.FixedZone("CET", 3600))
			version := d.do(t, domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest}, domain.Meta{})
			require.EqualValues(t, 2, version.Revision)
			rollout := domain.RolloutID(uuid.NewString())
			d.do(t, domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"}, domain.Meta{})
			meta := domain.Meta{
				CommandID: "promote", Actor: domain.Actor{Subject: "ann", Auth: domain.AuthAPIKey, Verified: true}, CausationID: "cause",
				CorrelationID: "saga", WorkflowID: "w", RunID: "r", Trace: "00-1-2-01", At: occurred,
			}
			result := d.do(t, domain.PromoteRollout{ModelID: "digits", RolloutID: rollout, Reason: "initial"}, meta)

			require.EqualValues(t, 5, result.Revision)
			require.EqualValues(t, 5, result.Position)
			require.Len(t, result.Events, 2)
			require.IsType(t, domain.RolloutPromoted{}, result.Events[0].Event)
			require.Equal(t, domain.ModelDeployed{Version: "1", DeploymentTarget: "prod", RolloutID: rollout, Reason: "initial"}, result.Events[1].Event)
			history := d.history(t, domain.ModelStream("digits"))
			require.Equal(t, history[3:], result.Events, "the result tells what is stored")
			require.Equal(t, occurred.UTC().Truncate(time.Microsecond), result.Events[1].OccurredAt)
			require.Equal(t, domain.EventMetadata{Actor: meta.Actor, CommandID: "promote", WorkflowID: "w", RunID: "r", Trace: "00-1-2-01"}, result.Events[0].Metadata)

			loaded, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(eventstore.Stream{Type: "MLModel", ID: "digits"}), "")
			require.NoError(t, err)
			stored := loaded[0].Events[4]
			require.Equal(t, "cause", *stored.CausationID)
			require.Equal(t, "saga", *stored.CorrelationID)
			require.Equal(t, domain.EventID("promote", 1, result.Events[1].Event), stored.EventID)
			require.NotEqual(t, loaded[0].Events[0].EventID, loaded[0].Events[1].EventID)
		})
	}
}

func TestRefusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			_, err := d.Handle(t.Context(), d.tenant, configure(1), domain.Meta{CommandID: "early"})
			require.ErrorIs(t, err, domain.ErrNotFound)
			d.created(t)
			_, err = d.Handle(t.Context(), d.tenant, create(), domain.Meta{})
			require.ErrorIs(t, err, domain.ErrAlreadyExists)
			_, err = d.Handle(t.Context(), "No Tenant", domain.CreateModel{ModelID: "Digits"}, domain.Meta{CommandID: "a\x00b"})
			require.ErrorIs(t, err, domain.ErrInvalidInput)
			require.ErrorContains(t, err, "tenant: ")
			require.ErrorContains(t, err, "command_id: ")
			require.ErrorContains(t, err, "model_id: ")
			require.Len(t, d.history(t, domain.ModelStream("digits")), 1)
			// A refused command is not remembered: now it can be done.
			require.EqualValues(t, 2, d.do(t, configure(1), domain.Meta{CommandID: "early"}).Revision)
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, job := at(store), newJob()
			absent, err := d.Model(t.Context(), d.tenant, "digits")
			require.NoError(t, err)
			require.False(t, absent.Exists())
			d.created(t)
			d.do(t, start(job), domain.Meta{})
			d.do(t, domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Epoch: 3, ProgressPercentage: 30}, domain.Meta{})
			model, err := d.Model(t.Context(), d.tenant, "digits")
			require.NoError(t, err)
			require.Equal(t, domain.StatusTraining, model.Status())
			require.Equal(t, []domain.JobID{job}, model.ActiveTrainings())
			training, err := d.Training(t.Context(), d.tenant, "digits", job)
			require.NoError(t, err)
			require.Equal(t, 3, training.Epoch)
			require.EqualValues(t, 1, training.Revision)
			rollout, err := d.Rollout(t.Context(), d.tenant, "digits", domain.RolloutID(uuid.NewString()))
			require.NoError(t, err)
			require.Equal(t, domain.Rollout{}, rollout)
		})
	}
}

// ranges remembers which revisions were read.
type ranges struct {
	registry.Store

	read []eventstore.Range
}

func (s *ranges) Load(ctx context.Context, tenant string, log eventstore.Log, stream eventstore.Stream, r eventstore.Range) ([]eventstore.Event, error) {
	s.read = append(s.read, r)
	return s.Store.Load(ctx, tenant, log, stream, r)
}

func TestARevisionIsFoundWithoutTheOthers(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &ranges{Store: open(t)}
			d, job := at(store), newJob()
			d.created(t)
			d.do(t, start(job), domain.Meta{})
			d.do(t, domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Epoch: 3, ProgressPercentage: 30}, domain.Meta{})
			third := d.do(t, domain.FailTraining{ModelID: "digits", TrainingJobID: job, FailureReason: domain.FailureFailed}, domain.Meta{})
			store.read = nil
			for revision, want := range map[int64]int64{1: 1, 3: third.Position, 4: 0} {
				position, err := d.PositionOf(t.Context(), d.tenant, domain.ModelStream("digits"), revision)
				require.NoError(t, err)
				require.Equal(t, want, position, "revision %d", revision)
			}
			require.EqualValues(t, 4, third.Position)
			for _, read := range store.read {
				require.Equal(t, read.From, read.To, "one event, however long the stream is")
			}
			require.Len(t, store.read, 3)
		})
	}
}

func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			ours := at(store)
			theirs := desk{Registry: ours.Registry, tenant: "other"}
			first := ours.created(t)
			second := theirs.do(t, create(), domain.Meta{CommandID: "create"}) // the same id is another command there
			require.Equal(t, first.Revision, second.Revision)
			require.EqualValues(t, 1, second.Position)
			ours.do(t, configure(1), domain.Meta{})
			require.Len(t, theirs.history(t, domain.ModelStream("digits")), 1)
			_, err := theirs.Handle(t.Context(), "third", configure(1), domain.Meta{})
			require.ErrorIs(t, err, domain.ErrNotFound)
		})
	}
}

// together runs f n times at once and returns the results and errors in order.
func together(n int, f func(i int) (domain.Result, error)) ([]domain.Result, []error) {
	results, errs := make([]domain.Result, n), make([]error, n)
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-begin
			results[i], errs[i] = f(i)
		})
	}
	close(begin)
	group.Wait()
	return results, errs
}
