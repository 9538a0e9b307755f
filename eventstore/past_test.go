package eventstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// underWay begins an append of one event to a tenant and leaves it uncommitted: it has its recorded_at, and holds the head.
func underWay(t *testing.T, db *pgtest.Database, tenant string) pgx.Tx {
	t.Helper()
	tx, err := pgtest.Pool(t, db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	_, err = tx.Exec(t.Context(), `select lifecycle.append_one(0, $1, 'Thing', 's', 0, 9, array[gen_random_uuid()], array['T'], array[1],
		array['{}'], array['{}'], array[now()], array[null::text], array[null::text], array[sha256('x')], null, null, null)`, tenant)
	require.NoError(t, err)
	return tx
}

// waits until somebody waits for a lock in the test's database.
func waits(t *testing.T, admin *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool {
		var blocked int
		err := admin.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&blocked)
		return err == nil && blocked > 0
	}, time.Minute, 5*time.Millisecond)
}

// TestAnInstantWaitsForWhatIsUnderWay: an event that was recorded before the instant and is committed after the question
// belongs to the answer; also the first one of its tenant, which has no head row to lock.
func TestAnInstantWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"an event later": 1, "the first event": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			store := eventstore.New(db.Pool(t))
			for range before {
				fill(t, store, "acme", 1)
			}
			under := underWay(t, db, "acme")
			var instant time.Time
			require.NoError(t, pgtest.Pool(t, db.AdminURL).QueryRow(t.Context(), "select clock_timestamp()").Scan(&instant))

			type answer struct {
				position int64
				err      error
			}
			answered := make(chan answer, 1)
			go func() {
				position, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, instant)
				answered <- answer{position, err}
			}()
			waits(t, pgtest.Pool(t, db.AdminURL))
			require.NoError(t, under.Commit(t.Context()))
			first := <-answered
			require.NoError(t, first.err)
			require.EqualValues(t, before+1, first.position)

			_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle,
				[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(2)}}, nil)
			require.NoError(t, err)
			again, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, instant)
			require.NoError(t, err)
			require.Equal(t, first.position, again)
		})
	}
}

// TestTheHeadIsHeldShortly: whoever asks for an instant does not keep appends waiting, although his transaction goes on.
func TestTheHeadIsHeldShortly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 3)
	asking, err := db.Pool(t).Begin(t.Context())
	require.NoError(t, err)
	defer asking.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It wrote nothing.
	_, err = asking.Exec(t.Context(), "select set_config('phantom.tenant', 'acme', true)")
	require.NoError(t, err)
	var position int64
	require.NoError(t, asking.QueryRow(t.Context(), "select log_position from lifecycle.position_at(clock_timestamp() - interval '1 us')").Scan(&position))
	require.EqualValues(t, 3, position)

	soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = store.Append(soon, "acme", eventstore.Lifecycle, []eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(1)}}, nil)
	require.NoError(t, err)
}

// TestAHeldHeadIsTold: the wait is bounded, an instant before the last event needs none, and other tenants are not slowed.
func TestAHeldHeadIsTold(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 3)
	fill(t, store, "other", 1)
	underWay(t, db, "acme")
	now := time.Now()
	_, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, now)
	require.ErrorIs(t, err, eventstore.ErrHeadHeld)
	position, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, now.Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, position)

	asking, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	const many = 40 // more than there are connections
	for range many {
		go func() {
			_, err := store.PositionAt(asking, "acme", eventstore.Lifecycle, now)
			ended <- err
		}()
	}
	waits(t, pgtest.Pool(t, db.AdminURL))
	soon, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	position, err = store.PositionAt(soon, "other", eventstore.Lifecycle, now)
	require.NoError(t, err)
	require.EqualValues(t, 1, position)
	cancel()
	for range many {
		require.Error(t, <-ended)
	}
}

// TestAskingLeavesNoHead: a question about a tenant that has no events does not make it known to the feed.
func TestAskingLeavesNoHead(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	position, err := store.PositionAt(t.Context(), "nobody", eventstore.Lifecycle, time.Now())
	require.NoError(t, err)
	require.Zero(t, position)
	heads, err := store.Heads(t.Context(), eventstore.Lifecycle)
	require.NoError(t, err)
	require.Empty(t, heads)
	var rows int
	require.NoError(t, pgtest.Pool(t, db.AdminURL).QueryRow(t.Context(), "select count(*) from lifecycle.heads").Scan(&rows))
	require.Zero(t, rows)
}

// TestPositionAtAnswersForItsTenantOnly: the function sees every tenant, and tells of the transaction's alone.
func TestPositionAtAnswersForItsTenantOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	fill(t, eventstore.New(pool), "acme", 3)
	var position *int64
	err := pool.QueryRow(t.Context(), "select log_position from lifecycle.position_at(now())").Scan(&position)
	require.ErrorContains(t, err, "there is none")
}

// TestALongLogIsHalved: instants over a log of many appends.
func TestALongLogIsHalved(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	recorded := []time.Time{}
	for n := range 40 {
		done, err := store.Append(t.Context(), "acme", eventstore.Lifecycle,
			[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(1 + n%3)}}, nil)
		require.NoError(t, err)
		for range 1 + n%3 {
			recorded = append(recorded, done[0].RecordedAt)
		}
	}
	for i, when := range recorded {
		position, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, when)
		require.NoError(t, err)
		require.GreaterOrEqual(t, position, int64(i)+1)
		require.Equal(t, when, recorded[position-1])
		if int(position) < len(recorded) {
			require.True(t, recorded[position].After(when))
		}
	}
}
