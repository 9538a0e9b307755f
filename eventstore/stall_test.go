package eventstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// TestAStalledTenantLeavesConnectionsToTheOthers: however many appends of a tenant wait for a head that somebody holds.
func TestAStalledTenantLeavesConnectionsToTheOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	store := eventstore.New(pool)
	fill(t, store, "stalled", 1)
	admin := pgtest.Pool(t, db.AdminURL)
	foreign, err := admin.Begin(t.Context())
	require.NoError(t, err)
	defer foreign.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It ended before, or the test failed.
	_, err = foreign.Exec(t.Context(), "select from lifecycle.heads where tenant_id = 'stalled' for update")
	require.NoError(t, err)

	add := func(ctx context.Context, tenant string) error {
		_, err := store.Append(ctx, tenant, eventstore.Lifecycle,
			[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(1)}}, nil)
		return err
	}
	waiting := int(pool.Config().MaxConns) * 2
	errs := make([]error, waiting)
	var all sync.WaitGroup
	for i := range waiting {
		all.Go(func() { errs[i] = add(t.Context(), "stalled") })
	}
	var blocked int
	require.Eventually(t, func() bool {
		err := admin.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&blocked)
		return err == nil && blocked >= 1
	}, time.Minute, 5*time.Millisecond)

	soon, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 10 {
		require.NoError(t, add(soon, "other"), "%d of %d wait in the database", blocked, waiting)
	}
	require.NoError(t, foreign.Rollback(t.Context()))
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err, "those who waited are served")
	}
	head, err := store.Head(t.Context(), "stalled", eventstore.Lifecycle)
	require.NoError(t, err)
	require.EqualValues(t, 1+waiting, head)
}

// TestEveryKindOfCallWaitsForAHeldHead: a head that another process holds delays a call of several streams, one that skips
// what is stored, and a bare command, and fails none.
func TestEveryKindOfCallWaitsForAHeldHead(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	for name, c := range map[string]struct {
		appends []eventstore.Append
		cmd     *eventstore.CommandRecord
	}{
		"streams": {appends: []eventstore.Append{batchFor("a", 1), batchFor("b", 0)}},
		"skips":   {appends: []eventstore.Append{{Stream: stream("s"), SkipStored: true, Events: eventstoretest.Batch(1)}}},
		"bare":    {cmd: &eventstore.CommandRecord{ID: "c", RequestHash: []byte("h")}},
	} {
		store := eventstore.New(db.Pool(t))
		fill(t, store, name, 1)
		foreign, err := admin.Begin(t.Context())
		require.NoError(t, err)
		defer foreign.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It ended before, or the test failed.
		_, err = foreign.Exec(t.Context(), "select from lifecycle.heads where tenant_id = $1 for update", name)
		require.NoError(t, err)
		outcome := make(chan error, 1)
		go func() {
			_, err := store.Append(t.Context(), name, eventstore.Lifecycle, c.appends, c.cmd)
			outcome <- err
		}()
		require.Eventually(t, func() bool {
			var blocked int
			err := admin.QueryRow(t.Context(), `select count(*) from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock'`).Scan(&blocked)
			return err == nil && (blocked > 0 || len(outcome) > 0)
		}, patience, tick)
		require.NoError(t, foreign.Rollback(t.Context()))
		require.NoError(t, <-outcome, name)
	}
}
