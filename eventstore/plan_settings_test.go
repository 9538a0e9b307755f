package eventstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
)

// TestForcedPlansAreNeverCompiled: a function that forbids sequential scans looks costly to the planner, and
// would be compiled at each call: 0.7 s of CPU for 0.1 ms of work.
func TestForcedPlansAreNeverCompiled(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	rows, err := pool.Query(t.Context(), `select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where 'enable_seqscan=off' = any (p.proconfig) and not 'jit=off' = any (p.proconfig)`)
	require.NoError(t, err)
	compiled, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, compiled)

	var forced int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from pg_proc where 'enable_seqscan=off' = any (proconfig)`).Scan(&forced))
	require.Equal(t, 20, forced)
}
