package registry_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/registry"
)

func TestConflictIsDecidedAgain(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			world := &meddled{Store: store, before: func(n int64) {
				if n <= 3 {
					d.do(t, configure(int(n)), domain.Meta{})
				}
			}}
			result := at(world).do(t, configure(9), domain.Meta{})
			require.EqualValues(t, 4, world.appends.Load())
			require.EqualValues(t, 5, result.Revision)
			updated := result.Events[0].Event.(domain.ModelConfigurationUpdated)
			require.JSONEq(t, `{"epochs":3}`, string(updated.PreviousConfig), "it was decided on the latest state")
		})
	}
}

func TestConflictMayEndInARefusal(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			world := at(&meddled{Store: store, before: func(n int64) {
				if n == 1 {
					d.do(t, domain.ArchiveModel{ModelID: "digits", Reason: "old"}, domain.Meta{})
				}
			}})
			_, err := world.Handle(t.Context(), d.tenant, configure(1), domain.Meta{})
			require.ErrorIs(t, err, domain.ErrInvalidState)
		})
	}
}

func TestEndlessConflictGivesUp(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			world := &meddled{Store: store, before: func(n int64) { d.do(t, configure(int(n)), domain.Meta{}) }}
			_, err := at(world).Handle(t.Context(), d.tenant, configure(0), domain.Meta{CommandID: "c"})
			require.ErrorIs(t, err, domain.ErrConflict)
			require.EqualValues(t, 24, world.appends.Load())
			// It was not remembered: later it can be done.
			d.do(t, configure(0), domain.Meta{CommandID: "c"})
		})
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			ctx, cancel := context.WithCancel(t.Context())
			world := at(&meddled{Store: store, before: func(n int64) {
				d.do(t, configure(int(n)), domain.Meta{})
				if n == 2 {
					cancel()
				}
			}})
			_, err := world.Handle(ctx, d.tenant, configure(0), domain.Meta{})
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// A command on a job's stream must not pass the end of the job in the model's stream.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, job := at(store), newJob()
			d.created(t)
			d.do(t, start(job), domain.Meta{})
			progress := domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Epoch: 1, ProgressPercentage: 10}

			tagged := at(&meddled{Store: store, before: func(n int64) {
				if n == 1 {
					d.do(t, configure(1), domain.Meta{})
				}
			}})
			require.EqualValues(t, 1, tagged.do(t, progress, domain.Meta{}).Revision, "a guard that moved is looked at again")

			progress.Epoch = 2
			ended := at(&meddled{Store: store, before: func(n int64) {
				if n == 1 {
					d.do(t, domain.FailTraining{ModelID: "digits", TrainingJobID: job, FailureReason: domain.FailureCancelled}, domain.Meta{})
				}
			}})
			_, err := ended.Handle(t.Context(), d.tenant, progress, domain.Meta{})
			require.ErrorIs(t, err, domain.ErrInvalidState)
			require.Len(t, d.history(t, domain.TrainingStream("digits", job)), 1)
		})
	}
}

// What changes nothing was decided on a state, too.
func TestCommandThatChangesNothingIsGuarded(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			d.do(t, configure(1), domain.Meta{})
			world := at(&meddled{Store: store, before: func(n int64) {
				if n == 1 {
					d.do(t, configure(2), domain.Meta{})
				}
			}})
			require.EqualValues(t, 4, world.do(t, configure(1), domain.Meta{}).Revision)
		})
	}
}

func TestManyAtOnceOnOneModel(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			d.created(t)
			_, errs := together(20, func(int) (domain.Result, error) {
				return d.Handle(t.Context(), d.tenant, domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest}, domain.Meta{})
			})
			for _, err := range errs {
				require.NoError(t, err)
			}
			model, err := d.Model(t.Context(), d.tenant, "digits")
			require.NoError(t, err)
			require.Equal(t, domain.Version("20"), model.LatestVersion())
		})
	}
}

func TestExpectation(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			_, err := d.Handle(t.Context(), d.tenant, create(), domain.Meta{Expect: new(int64(1))})
			require.ErrorIs(t, err, domain.ErrPreconditionFailed)
			_, err = d.Handle(t.Context(), d.tenant, create(), domain.Meta{Expect: new(int64(-1))})
			require.ErrorIs(t, err, domain.ErrInvalidInput)
			d.do(t, create(), domain.Meta{Expect: new(int64(0))})
			d.do(t, configure(1), domain.Meta{Expect: new(int64(1))})
			_, err = d.Handle(t.Context(), d.tenant, configure(2), domain.Meta{Expect: new(int64(1))})
			require.ErrorIs(t, err, domain.ErrPreconditionFailed)
			require.ErrorContains(t, err, "at revision 2, not at 1")
		})
	}
}

func TestExpectationIsNotDecidedAgain(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, job := at(store), newJob()
			d.created(t)
			d.do(t, start(job), domain.Meta{})
			meddling := &meddled{Store: store, before: func(int64) { d.do(t, configure(1), domain.Meta{}) }}
			_, err := at(meddling).Handle(t.Context(), d.tenant, configure(2), domain.Meta{Expect: new(int64(2))})
			require.ErrorIs(t, err, domain.ErrPreconditionFailed)
			require.EqualValues(t, 1, meddling.appends.Load())

			guard := &meddled{Store: store, before: func(int64) { d.do(t, configure(3), domain.Meta{}) }}
			progress := domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Epoch: 1}
			_, err = at(guard).Handle(t.Context(), d.tenant, progress, domain.Meta{Expect: new(int64(0))})
			require.ErrorIs(t, err, domain.ErrConflict)
			require.EqualValues(t, 1, guard.appends.Load())
		})
	}
}

// counted counts what a command reads.
type counted struct {
	registry.Store
	fetches atomic.Int64
}

func (c *counted) Fetch(ctx context.Context, tenant string, log eventstore.Log, wants []eventstore.Want, commandID string,
) ([]eventstore.History, *eventstore.CommandRecord, error) {
	c.fetches.Add(1)
	return c.Store.Fetch(ctx, tenant, log, wants, commandID)
}

// A model that is new is created in one round trip; that it is there is found by the append.
func TestACreationReadsNothing(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &counted{Store: open(t)}
			d := at(store)
			first := d.do(t, create(), domain.Meta{CommandID: "c"})
			require.Zero(t, store.fetches.Load())
			require.Equal(t, first.Revision, d.do(t, create(), domain.Meta{CommandID: "c"}).Revision, "again")
			_, err := d.Handle(t.Context(), d.tenant, create(), domain.Meta{CommandID: "d"})
			require.ErrorIs(t, err, domain.ErrAlreadyExists)
			other := create()
			other.Name = "Other"
			_, err = d.Handle(t.Context(), d.tenant, other, domain.Meta{CommandID: "c"})
			require.ErrorIs(t, err, domain.ErrIdempotencyMismatch)
			revision := int64(1)
			_, err = d.Handle(t.Context(), d.tenant, create(), domain.Meta{CommandID: "e", Expect: &revision})
			require.ErrorIs(t, err, domain.ErrAlreadyExists)
			require.Len(t, d.history(t, domain.ModelStream("digits")), 1)
		})
	}
}
