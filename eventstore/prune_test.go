package eventstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
)

const day = 24 * time.Hour

// remembered inserts commands of an age past the store.
func remembered(t *testing.T, db *pgtest.Database, name string, n, days int) {
	t.Helper()
	_, err := pgtest.Pool(t, db.AdminURL).Exec(t.Context(), `insert into phantom.commands
		select 'tenant-' || n % 20, $1::text || n, 'hash', '{}', now() - $3::int * interval '1 day' from generate_series(1, $2::int) n`, name, n, days)
	require.NoError(t, err)
}

func left(t *testing.T, db *pgtest.Database) map[string]int {
	t.Helper()
	rows, err := pgtest.Pool(t, db.AdminURL).Query(t.Context(), "select left(command_id, 3), count(*) from phantom.commands group by 1")
	require.NoError(t, err)
	found := map[string]int{}
	var name string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { found[name] = n; return nil })
	require.NoError(t, err)
	return found
}

// sweep takes all pieces of one.
func sweep(t *testing.T, store *eventstore.Store, pause time.Duration) (removed int64, pieces int) {
	t.Helper()
	for more := true; more; pieces++ {
		done, err := store.PruneCommands(t.Context(), 30*day, pause)
		require.NoError(t, err)
		removed += done.Removed
		more = done.More
	}
	return removed, pieces
}

// TestOldCommandsAreForgotten: a sweep ends, takes all that is older and nothing that is younger, in several pieces.
func TestOldCommandsAreForgotten(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	remembered(t, db, "old", 60_000, 31)
	remembered(t, db, "new", 5000, 29)
	remembered(t, db, "old", 0, 31)
	removed, pieces := sweep(t, store, time.Hour)
	require.EqualValues(t, 60_000, removed)
	require.Greater(t, pieces, 1)
	require.Equal(t, map[string]int{"new": 5000}, left(t, db))

	remembered(t, db, "old", 10, 31)
	done, err := store.PruneCommands(t.Context(), 30*day, time.Hour)
	require.NoError(t, err)
	require.Equal(t, eventstore.Pruned{}, done, "the last sweep has just ended")
	removed, _ = sweep(t, store, 0)
	require.EqualValues(t, 10, removed)
	_, err = store.PruneCommands(t.Context(), day-time.Second, 0)
	require.ErrorContains(t, err, "for a day at least")
}

// TestOneSweepsAtATime: who comes meanwhile has nothing to do, and goes on where the other one stopped.
func TestOneSweepsAtATime(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	remembered(t, db, "old", 10, 31)
	other, err := pgtest.Pool(t, db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	defer other.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It ended before, or the test failed.
	_, err = other.Exec(t.Context(), "select phantom.prune_commands('30 days', '1 hour', 1)")
	require.NoError(t, err)
	done, err := store.PruneCommands(t.Context(), 30*day, time.Hour)
	require.NoError(t, err)
	require.Equal(t, eventstore.Pruned{}, done)
	require.NoError(t, other.Rollback(t.Context())) // it died
	done, err = store.PruneCommands(t.Context(), 30*day, time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 10, done.Removed)
}

// TestThePruningRoleRemovesNothingElse: nor a young command, whatever it is asked for; and it reads no more than a piece.
func TestThePruningRoleRemovesNothingElse(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	fill(t, eventstore.New(db.Pool(t)), "acme", 1)
	remembered(t, db, "new", 100, 0)
	admin := pgtest.Pool(t, db.AdminURL)
	for _, change := range []string{
		"delete from lifecycle.events", "delete from lifecycle.heads", "delete from lifecycle.snapshots",
		"update phantom.commands set result = '1'", "truncate phantom.commands", "select from lifecycle.events",
	} {
		require.Equal(t, insufficientPrivilege, code(t, admin, "phantom_prune", change), change)
	}
	for _, role := range []string{"phantom_serving", "phantom_append", "phantom_feed", "phantom_search"} {
		require.Equal(t, insufficientPrivilege, code(t, admin, role, "delete from phantom.commands"), role)
		require.Equal(t, insufficientPrivilege, code(t, admin, role, "select from phantom.command_sweep"), role)
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), admin, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "set local role phantom_prune")
		require.NoError(t, err)
		done, err := tx.Exec(t.Context(), "delete from phantom.commands")
		require.NoError(t, err)
		require.Zero(t, done.RowsAffected())
		_, err = tx.Exec(t.Context(), "set local enable_seqscan = off")
		require.NoError(t, err)
		rows, err := tx.Query(t.Context(), `explain delete from phantom.commands c where c.ctid >= format('(%s,0)', 1)::tid
			and c.ctid < format('(%s,0)', 9)::tid and c.created_at < now() - interval '30 days'`)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.Contains(t, plan, "Tid Range Scan")
		require.NotContains(t, plan, "Seq Scan")
		return nil
	}))
}
