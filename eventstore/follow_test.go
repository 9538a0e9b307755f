package eventstore_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

const (
	// patience is how long a test waits for what another process does.
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// TestFollowerNeverSkips holds an append open after it has its position, by a trigger that waits for an advisory lock. A
// later append of the tenant must not become visible before it, and another tenant must not notice.
func TestFollowerNeverSkips(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	admin := pgtest.Pool(t, db.AdminURL)
	_, err := admin.Exec(t.Context(), `
		create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(77); return new; end $$;
		create trigger hold before insert on lifecycle.events for each row when (new.event_type = 'Held') execute function hold()`)
	require.NoError(t, err)
	release := hold(t, admin)

	var appends sync.WaitGroup
	elsewhere := eventstore.New(db.Pool(t)) // within one process the later append would wait there
	add := func(tenant, kind string) {
		from := store
		if kind == "Later" {
			from = elsewhere
		}
		event := eventstoretest.Batch(1)
		event[0].Type = kind
		_, err := from.Append(t.Context(), tenant, eventstore.Lifecycle, []eventstore.Append{{Stream: stream(kind), Events: event}}, nil)
		if err != nil {
			t.Errorf("append %s: %v", kind, err)
		}
	}
	add("acme", "First") // makes the head row, which else would hold the later append back by its insert alone
	appends.Go(func() { add("acme", "Held") })
	waiting(t, admin, "wait_event = 'advisory'", 1)
	appends.Go(func() { add("acme", "Later") })
	waiting(t, admin, "wait_event_type = 'Lock'", 2)
	add("globex", "Other")

	cursors := []eventstore.Cursor{{Tenant: "acme", After: 1}, {Tenant: "globex"}}
	pages, err := store.ReadAfter(t.Context(), eventstore.Lifecycle, cursors, nil, 10)
	require.NoError(t, err)
	require.Len(t, pages, 1, "nothing of the tenant is visible before the first append ends")
	require.Equal(t, "globex", pages[0].Tenant)

	release()
	appends.Wait()
	pages, err = store.ReadAfter(t.Context(), eventstore.Lifecycle, cursors[:1], nil, 10)
	require.NoError(t, err)
	require.Len(t, pages, 1)
	require.Len(t, pages[0].Events, 2)
	require.Equal(t, "Held", pages[0].Events[0].EventType)
	require.Equal(t, "Later", pages[0].Events[1].EventType)
	require.False(t, pages[0].Events[1].RecordedAt.Before(pages[0].Events[0].RecordedAt))
}

// hold takes the advisory lock that the trigger waits for.
func hold(t *testing.T, admin *pgxpool.Pool) (release func()) {
	t.Helper()
	conn, err := admin.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(conn.Release)
	_, err = conn.Exec(t.Context(), "select pg_advisory_lock(77)")
	require.NoError(t, err)
	return func() {
		_, err := conn.Exec(t.Context(), "select pg_advisory_unlock(77)")
		require.NoError(t, err)
	}
}

// waiting waits until so many appends of this database wait for that.
func waiting(t *testing.T, admin *pgxpool.Pool, what string, n int) {
	t.Helper()
	query := `select count(*) from pg_stat_activity where datname = current_database() and query like '%append_%' and pid <> pg_backend_pid() and ` + what
	require.Eventually(t, func() bool {
		var count int
		return admin.QueryRow(t.Context(), query).Scan(&count) == nil && count == n
	}, patience, tick, what)
}

// TestRareTypesAreReadInWindows: a page ends where it was looked at, also when nothing was found.
func TestRareTypesAreReadInWindows(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	events := eventstoretest.Batch(12_000)
	events[11_500].Type = "Rare"
	for batch := range slices.Chunk(events, eventstore.MaxBatchEvents) {
		_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Append{{Stream: stream("s"), Events: batch}}, nil)
		require.NoError(t, err)
	}
	cursor := eventstore.Cursor{Tenant: "acme"}
	var found []eventstore.Event
	var through []int64
	for {
		pages, err := store.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{cursor}, []string{"Rare"}, 10)
		require.NoError(t, err)
		if len(pages) == 0 {
			break
		}
		found = append(found, pages[0].Events...)
		cursor.After = pages[0].Through
		through = append(through, cursor.After)
	}
	require.Equal(t, []int64{10_000, 12_000}, through)
	require.Len(t, found, 1)
	require.EqualValues(t, 11_501, found[0].Position)
}
