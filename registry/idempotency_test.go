package registry_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/registry"
)

func TestSameCommandTwice(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			first := d.do(t, configure(1), domain.Meta{CommandID: "c", At: time.Unix(1, 0)})
			d.do(t, configure(2), domain.Meta{})
			// Another time, another cause, even another expectation: it is the same request.
			again := d.do(t, configure(1), domain.Meta{CommandID: "c", At: time.Unix(2, 0), CausationID: "x", Expect: new(int64(1))})
			require.Equal(t, first, again)
			require.Len(t, d.history(t, domain.ModelStream("digits")), 3)
		})
	}
}

func TestSameContentInAnotherSpelling(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			cmd := create()
			cmd.InitialConfig = json.RawMessage(`{"batch":32,"epochs":20}`)
			first := d.do(t, cmd, domain.Meta{CommandID: "c"})
			cmd.InitialConfig = json.RawMessage(`{ "epochs": 20, "batch": 32 }`)
			require.Equal(t, first, d.do(t, cmd, domain.Meta{CommandID: "c"}))
		})
	}
}

func TestSameIDWithOtherContent(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			d.do(t, configure(1), domain.Meta{CommandID: "c"})
			for _, other := range []domain.Command{
				configure(2),
				domain.UpdateModelMetadata{ModelID: "digits"},
				domain.CreateModel{ModelID: "letters", Name: "Letters", ModelType: "classification", Algorithm: "mlp"},
			} {
				_, err := d.Handle(t.Context(), d.tenant, other, domain.Meta{CommandID: "c"})
				require.ErrorIs(t, err, domain.ErrIdempotencyMismatch)
			}
			require.Len(t, d.history(t, domain.ModelStream("digits")), 2)
			require.Empty(t, d.history(t, domain.ModelStream("letters")))
		})
	}
}

func TestTimesAreNotPartOfARequest(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, job := at(store), newJob()
			d.created(t)
			d.do(t, start(job), domain.Meta{})
			d.do(t, domain.CompleteTraining{ModelID: "digits", TrainingJobID: job, ArtifactsLocation: digest}, domain.Meta{})
			d.do(t, domain.EvaluateCandidate{ModelID: "digits", TrainingJobID: job}, domain.Meta{})
			ask := domain.RequestApproval{
				ModelID: "digits", Subject: domain.Subject{TrainingJobID: job}, ExpiresAt: time.Unix(1000, 0),
				RequestedBy: domain.Actor{Subject: "nightly", Auth: domain.AuthTemporal},
			}
			first := d.do(t, ask, domain.Meta{CommandID: "ask"})
			ask.ExpiresAt = time.Unix(2000, 0)
			require.Equal(t, first, d.do(t, ask, domain.Meta{CommandID: "ask"}))
		})
	}
}

func TestCommandThatChangesNothingIsRemembered(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			d.do(t, configure(1), domain.Meta{})
			first := d.do(t, configure(1), domain.Meta{CommandID: "c"})
			require.Equal(t, domain.Result{Revision: 2, Position: 2}, first)
			d.do(t, configure(2), domain.Meta{})
			// Decided now it would change something; but it was decided before.
			require.Equal(t, first, d.do(t, configure(1), domain.Meta{CommandID: "c"}))
			require.Len(t, d.history(t, domain.ModelStream("digits")), 3)
			_, err := d.Handle(t.Context(), d.tenant, configure(3), domain.Meta{CommandID: "c"})
			require.ErrorIs(t, err, domain.ErrIdempotencyMismatch)
		})
	}
}

func TestEmptyCommandIDIsANewOneEachTime(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			d.do(t, configure(1), domain.Meta{})
			second := d.do(t, configure(2), domain.Meta{})
			third := d.do(t, configure(1), domain.Meta{})
			require.EqualValues(t, 4, third.Revision)
			require.NotEmpty(t, third.Events[0].Metadata.CommandID)
			require.NotEqual(t, second.Events[0].Metadata.CommandID, third.Events[0].Metadata.CommandID)
		})
	}
}

func TestFirstAttemptsRace(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			results, errs := together(20, func(int) (domain.Result, error) {
				return d.Handle(t.Context(), d.tenant, configure(1), domain.Meta{CommandID: "c", Expect: new(int64(1)), At: time.Now()})
			})
			for i := range results {
				require.NoError(t, errs[i])
				require.Equal(t, results[0], results[i])
			}
			require.EqualValues(t, 2, results[0].Revision)
			require.Len(t, d.history(t, domain.ModelStream("digits")), 2)
		})
	}
}

func TestFirstAttemptsThatChangeNothingRace(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			d.do(t, configure(1), domain.Meta{})
			results, errs := together(20, func(int) (domain.Result, error) {
				return d.Handle(t.Context(), d.tenant, configure(1), domain.Meta{CommandID: "c"})
			})
			for i := range results {
				require.NoError(t, errs[i])
				require.Equal(t, domain.Result{Revision: 2, Position: 2}, results[i])
			}
		})
	}
}

func TestRacingAttemptsWithOtherContent(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			results, errs := together(20, func(i int) (domain.Result, error) {
				return d.Handle(t.Context(), d.tenant, configure(i), domain.Meta{CommandID: "c"})
			})
			done := 0
			for i := range results {
				if errs[i] == nil {
					done++
					continue
				}
				require.ErrorIs(t, errs[i], domain.ErrIdempotencyMismatch)
			}
			require.Equal(t, 1, done)
			require.Len(t, d.history(t, domain.ModelStream("digits")), 2)
		})
	}
}

// The first attempt's append is acknowledged after the caller gave up; the second one finds it between
// its own load and append.
func TestFirstAttemptArrivesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			var first domain.Result
			slow := at(&meddled{Store: store, before: func(n int64) {
				if n == 1 {
					first = d.do(t, configure(1), domain.Meta{CommandID: "c", At: time.Unix(5, 0)})
				}
			}})
			require.Equal(t, first, slow.do(t, configure(1), domain.Meta{CommandID: "c", At: time.Unix(9, 0)}))
			require.Len(t, d.history(t, domain.ModelStream("digits")), 2)
		})
	}
}

// torn reads the streams and the command at two moments, as PostgreSQL does at READ COMMITTED.
type torn struct {
	registry.Store
	between func()
}

func (s *torn) Fetch(ctx context.Context, tenant string, log eventstore.Log, wants []eventstore.Want, commandID string,
) ([]eventstore.History, *eventstore.CommandRecord, error) {
	loaded, _, err := s.Store.Fetch(ctx, tenant, log, wants, "")
	if err != nil {
		return nil, nil, err
	}
	s.between()
	_, known, err := s.Store.Fetch(ctx, tenant, log, nil, commandID)
	return loaded, known, err
}

func TestFirstAttemptArrivesBetweenTheReads(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			var first domain.Result
			var once sync.Once
			same := domain.Meta{CommandID: "c", At: time.Unix(5, 0)}
			slow := at(&torn{Store: store, between: func() { once.Do(func() { first = d.do(t, configure(1), same) }) }})
			require.Equal(t, first, slow.do(t, configure(1), same))
			require.NotEmpty(t, first.Events)
		})
	}
}

func TestEventOfANewerProgramStopsTheDecision(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			painted := eventstore.NewEvent{ID: uuid.New(), Type: "ModelPainted", Version: 1, Data: json.RawMessage(`{}`), OccurredAt: time.Now()}
			_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Append{
				{Stream: eventstore.Stream{Type: "MLModel", ID: "digits"}, Events: []eventstore.NewEvent{painted}},
			}, nil)
			require.NoError(t, err)
			_, err = d.Handle(t.Context(), d.tenant, configure(1), domain.Meta{})
			require.ErrorIs(t, err, domain.ErrUnknownEvent)
			_, err = d.Model(t.Context(), d.tenant, "digits")
			require.ErrorIs(t, err, domain.ErrUnknownEvent)
			require.ErrorContains(t, err, "revision 2")
		})
	}
}
