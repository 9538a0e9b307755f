package eventstore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// run runs a tail until the test ends.
func run(t *testing.T, tail *eventstore.Tail) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := tail.Run(ctx); ctx.Err() == nil {
			t.Errorf("the tail ended: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		ended.Wait()
	})
}

func listeners(t *testing.T, db *pgtest.Database) []string {
	t.Helper()
	return names(t, pgtest.Pool(t, db.AdminURL), `select pid::text from pg_stat_activity
		where datname = current_database() and query like 'listen phantom%'`)
}

func heard(hints <-chan struct{}) bool {
	select {
	case <-hints:
		return true
	default:
		return false
	}
}

// TestTailHearsOthers: a notification is heard although nothing is new for the polling, also on a connection that came
// after the first one was killed.
func TestTailHearsOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	tail := eventstore.NewTail(eventstore.New(db.Pool(t)), eventstore.Lifecycle)
	hints, unsubscribe := tail.Subscribe()
	defer unsubscribe()
	run(t, tail)
	notified := func() bool {
		_, err := admin.Exec(t.Context(), "notify phantom_lifecycle")
		return err == nil && heard(hints)
	}
	require.Eventually(t, notified, patience, tick)

	before := listeners(t, db)
	require.Len(t, before, 1)
	_, err := admin.Exec(t.Context(), "select pg_terminate_backend($1::text::int)", before[0])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		now := listeners(t, db)
		return len(now) == 1 && now[0] != before[0]
	}, patience, 10*tick)
	for heard(hints) { // what the loss and the return woke
		continue
	}
	require.Eventually(t, notified, patience, tick)
}

// TestTailTellsOthers: an append is notified to other processes, and hinted in its own.
func TestTailTellsOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	listener, err := pgtest.Pool(t, db.AdminURL).Acquire(t.Context())
	require.NoError(t, err)
	defer listener.Release()
	_, err = listener.Exec(t.Context(), "listen phantom_inference")
	require.NoError(t, err)

	store := eventstore.New(db.Pool(t))
	tail := eventstore.NewTail(store, eventstore.Inference)
	hints, unsubscribe := tail.Subscribe()
	run(t, tail)
	require.Eventually(t, func() bool {
		_, err := store.Append(t.Context(), "acme", eventstore.Inference,
			[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(1)}}, nil)
		return err == nil && heard(hints)
	}, patience, tick, "the tail may start after the first append")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	told, err := listener.Conn().WaitForNotification(ctx)
	require.NoError(t, err)
	require.Equal(t, "phantom_inference", told.Channel)
	unsubscribe()
	unsubscribe()
}

// TestTailFindsWhatNobodyTells: a process without a tail appends; polling finds it.
func TestTailFindsWhatNobodyTells(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	tail := eventstore.NewTail(eventstore.New(db.Pool(t)), eventstore.Lifecycle)
	hints, unsubscribe := tail.Subscribe()
	defer unsubscribe()
	run(t, tail)
	require.Eventually(t, func() bool { return len(listeners(t, db)) == 1 }, patience, 10*tick)
	fill(t, eventstore.New(db.Pool(t)), "acme", 1)
	require.Eventually(t, func() bool { return heard(hints) }, patience, tick)
	seen, err := eventstore.New(db.Pool(t)).ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}}, nil, 10)
	require.NoError(t, err)
	require.Len(t, seen, 1)
}

func TestTailRefusesAnotherLog(t *testing.T) {
	t.Parallel()
	tail := eventstore.NewTail(eventstore.New(nil), "other")
	require.ErrorIs(t, tail.Run(t.Context()), eventstore.ErrMalformed)
}
