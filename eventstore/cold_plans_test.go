package eventstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// TestPlansMadeOnEmptyTablesAreThoseOfFullOnes: a session keeps the plans of its first appends. Appends of each kind then
// look into the indexes that find a row at once, and never through all of a tenant's events.
func TestPlansMadeOnEmptyTablesAreThoseOfFullOnes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := pgtest.Tuned(t, db.ServingURL, func(settings *pgxpool.Config) { settings.MaxConns = 1 })
	store := eventstore.New(pool)
	to := func(stream string, n int) eventstore.Append {
		return eventstore.Append{Stream: eventstore.Stream{Type: "Thing", ID: stream}, Events: eventstoretest.Batch(n)}
	}
	add := func(appends ...eventstore.Append) {
		_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle, appends, nil)
		require.NoError(t, err)
	}
	for range 20 {
		one, skipping := to("one", 50), to("skipping", 50)
		skipping.SkipStored = true
		add(one)
		add(one) // repeated
		add(to("a", 20), to("b", 20))
		add(skipping)
		add(skipping)
		eventstore.DeliverTogether(t.Context(), store, "acme", uuid.NewString(), 20)
	}
	pool.Close() // a session that ends tells what it did

	admin := pgtest.Pool(t, db.AdminURL)
	require.Eventually(t, func() bool { return scans(t, admin, "events_event_id_key") > 1000 }, time.Minute, 20*time.Millisecond)
	for _, unfit := range []string{"events_type_idx", "events_correlation_idx"} {
		require.Zero(t, scans(t, admin, unfit), unfit)
	}
	var read, looked int64
	require.NoError(t, admin.QueryRow(t.Context(), `select sum(idx_tup_read), sum(idx_scan) from pg_stat_user_indexes
		where schemaname = 'lifecycle' and relname = 'events'`).Scan(&read, &looked))
	require.LessOrEqual(t, read, looked, "an index entry a look at the most")
}

// scans are how often an index of the lifecycle log was looked into.
func scans(t *testing.T, admin *pgxpool.Pool, index string) (n int64) {
	t.Helper()
	err := admin.QueryRow(context.WithoutCancel(t.Context()),
		`select idx_scan from pg_stat_user_indexes where schemaname = 'lifecycle' and indexrelname = $1`, index).Scan(&n)
	require.NoError(t, err, index)
	return n
}
