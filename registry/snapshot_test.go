package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/registry"
)

// soon is a policy under which five events are a long stream.
func soon() registry.SnapshotPolicy {
	return registry.SnapshotPolicy{
		Events: 5, Bytes: 1 << 20, Took: time.Hour, Least: 2, Keep: eventstore.Keep{Newest: 2, Every: 5},
	}
}

// observed is a store that tells what was fetched and saved.
type observed struct {
	registry.SnapshotStore
	fetched atomic.Int64 // events of the last fetch
	saved   atomic.Int64 // revision of the last snapshot
	err     error        // of saving
}

func (o *observed) Fetch(ctx context.Context, tenant string, log eventstore.Log, wants []eventstore.Want, commandID string,
) ([]eventstore.History, *eventstore.CommandRecord, error) {
	fetched, known, err := o.SnapshotStore.Fetch(ctx, tenant, log, wants, commandID)
	events := 0
	for _, history := range fetched {
		events += len(history.Events)
	}
	o.fetched.Store(int64(events))
	return fetched, known, err
}

func (o *observed) SaveSnapshot(ctx context.Context, tenant string, log eventstore.Log, snap eventstore.Snapshot, keep eventstore.Keep) error {
	if o.err != nil {
		return o.err
	}
	err := o.SnapshotStore.SaveSnapshot(ctx, tenant, log, snap, keep)
	o.saved.Store(snap.Revision)
	return err
}

// running runs the writer until the test ends.
func running(t *testing.T, s *registry.Snapshots) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func snapshotting(t *testing.T, open func(*testing.T) registry.Store) (*observed, *registry.Snapshots, desk) {
	t.Helper()
	store := &observed{SnapshotStore: open(t).(registry.SnapshotStore)}
	writer := registry.NewSnapshots(store, soon(), nil)
	return store, writer, desk{Registry: registry.New(store).WithSnapshots(writer), tenant: "acme"}
}

// TestLongStreamsLoadFromSnapshots: what was decided and what is answered is the same with snapshots and without, and a
// load reads what follows the last one.
func TestLongStreamsLoadFromSnapshots(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, writer, d := snapshotting(t, open)
			running(t, writer)
			first := d.created(t)
			for n := 1; n <= 12; n++ {
				d.do(t, configure(n), domain.Meta{CommandID: "c" + string(rune('a'+n))})
			}
			require.Eventually(t, func() bool {
				_, err := d.Model(t.Context(), d.tenant, "digits") // a note may have been dropped
				return err == nil && store.saved.Load() > 0 && store.fetched.Load() < 5
			}, time.Minute, time.Millisecond)
			model, err := d.Model(t.Context(), d.tenant, "digits")
			require.NoError(t, err)
			require.Less(t, store.fetched.Load(), int64(5))
			require.JSONEq(t, `{"epochs":12}`, string(model.Config))
			var whole domain.Model
			for _, recorded := range d.history(t, domain.ModelStream("digits")) {
				whole.Evolve(recorded)
			}
			require.Equal(t, whole, model)

			// A command whose events a snapshot covers still returns them, and is not done twice.
			require.Equal(t, first, d.created(t))
			again := d.do(t, configure(2), domain.Meta{CommandID: "cc"})
			require.EqualValues(t, 3, again.Revision)
			require.Len(t, again.Events, 1)
			require.EqualValues(t, 14, d.do(t, configure(99), domain.Meta{Expect: new(int64(13))}).Revision)
		})
	}
}

// TestASnapshotThatCannotBeReadIsPassedOver: the events are the truth.
func TestASnapshotThatCannotBeReadIsPassedOver(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _, d := snapshotting(t, open)
			d.created(t)
			d.do(t, configure(1), domain.Meta{})
			for _, fingerprint := range []string{domain.Fingerprint(domain.TypeMLModel), "former"} {
				require.NoError(t, store.SaveSnapshot(t.Context(), "acme", eventstore.Lifecycle, eventstore.Snapshot{
					Stream: eventstore.Stream{Type: "MLModel", ID: "digits"}, Fingerprint: fingerprint, Revision: 2, Position: 2,
					State: json.RawMessage(`{"Colour": "red"}`),
				}, soon().Keep))
			}
			model, err := d.Model(t.Context(), d.tenant, "digits")
			require.NoError(t, err)
			require.Equal(t, "Digits", model.Name)
			require.EqualValues(t, 3, d.do(t, configure(2), domain.Meta{}).Revision)
		})
	}
}

// TestSnapshotsNeverHinder: without a writer at work, with one that is overloaded or fails, commands are handled.
func TestSnapshotsNeverHinder(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &observed{SnapshotStore: open(t).(registry.SnapshotStore), err: errors.New("no disk")}
			told := make(chan error, 1000)
			writer := registry.NewSnapshots(store, registry.SnapshotPolicy{Events: 1, Least: 1, Bytes: 1, Keep: soon().Keep}, func(err error) { told <- err })
			d := desk{Registry: registry.New(store).WithSnapshots(writer), tenant: "acme"}
			const models = 300 // more than there are notes
			for n := range models {
				cmd := create()
				cmd.ModelID += domain.ModelID(strings.Repeat("a", n/20) + string(rune('a'+n%20)))
				d.do(t, cmd, domain.Meta{})
				_, err := d.Model(t.Context(), d.tenant, cmd.ModelID)
				require.NoError(t, err)
			}
			require.EqualValues(t, models-256, writer.Dropped())
			running(t, writer)
			require.ErrorContains(t, <-told, "no disk")
		})
	}
}

// TestAForgottenCommandIsNotDoneTwice: its events are found where they stand, and it is remembered again.
func TestAForgottenCommandIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	d := at(eventstore.New(db.Pool(t)))
	d.created(t)
	first := d.do(t, configure(1), domain.Meta{CommandID: "c"})
	d.do(t, configure(2), domain.Meta{})
	_, err := pgtest.Pool(t, db.AdminURL).Exec(t.Context(), "delete from phantom.commands")
	require.NoError(t, err)
	for range 2 {
		again := d.do(t, configure(1), domain.Meta{CommandID: "c"})
		require.Equal(t, first.Revision, again.Revision)
		require.Equal(t, first.Events[0].Position, again.Events[0].Position)
	}
	require.Len(t, d.history(t, domain.ModelStream("digits")), 3)
}

// TestBatchesAreSplitByBytes: a few large rows travel apart.
func TestBatchesAreSplitByBytes(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := &meddled{Store: open(t), before: func(int64) {}}
			d, cmd := at(world), inferences(40)
			for i := range cmd.Inferences {
				cmd.Inferences[i].Prediction = domain.InClear(json.RawMessage(`"` + strings.Repeat("7", 250<<10) + `"`))
			}
			require.EqualValues(t, 40, d.do(t, cmd, domain.Meta{}).Revision)
			require.EqualValues(t, 3, world.appends.Load(), "some 10 MiB in batches of 4 MiB")
			require.Len(t, d.history(t, domain.InferenceStream("digits", "local", day)), 40)
		})
	}
}
