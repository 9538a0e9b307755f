package migrations_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
	"phantom/migrations"
)

// left are the objects of Phantom that a database holds, but the version table.
func left(t *testing.T, db *pgtest.Database) []string {
	t.Helper()
	rows, err := pgtest.Pool(t, db.OwnerURL).Query(t.Context(), `
		select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		 where n.nspname in ('lifecycle', 'inference', 'phantom', 'keyring') and c.relname <> 'schema_version'
		union all
		select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		 where n.nspname in ('lifecycle', 'inference', 'phantom', 'keyring')
		union all
		select nspname from pg_namespace where nspname in ('lifecycle', 'inference', 'keyring')`)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t)
	latest, err := migrations.Latest()
	require.NoError(t, err)

	before, err := migrations.Status(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	require.Zero(t, before.Current)
	require.Equal(t, latest, before.Latest)
	require.Len(t, before.Pending, latest)
	require.Equal(t, "001_roles.sql", before.Pending[0])

	for range 2 {
		done, err := migrations.Up(t.Context(), db.OwnerURL)
		require.NoError(t, err)
		require.Equal(t, migrations.Progress{Current: latest, Latest: latest}, done)
		require.NotEmpty(t, left(t, db))
		done, err = migrations.Up(t.Context(), db.OwnerURL)
		require.NoError(t, err, "nothing to do")
		require.Equal(t, latest, done.Current)

		done, err = migrations.Down(t.Context(), db.OwnerURL)
		require.NoError(t, err)
		require.Zero(t, done.Current)
		require.Empty(t, left(t, db), "every step takes back what it made")
	}
}

// TestTheOwnerIsNoSuperuser keeps the other tests honest: what they migrate with may not do everything.
func TestTheOwnerIsNoSuperuser(t *testing.T) {
	t.Parallel()
	var super, bypass bool
	err := pgtest.Pool(t, pgtest.New(t).OwnerURL).
		QueryRow(t.Context(), "select rolsuper, rolbypassrls from pg_roles where rolname = current_user").Scan(&super, &bypass)
	require.NoError(t, err)
	require.False(t, super || bypass)
}

// TestTwoAtOnce: one run waits for the other, in one database and in two of a cluster.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	one, two := pgtest.NewEmpty(t), pgtest.NewEmpty(t)
	urls := []string{one.OwnerURL, one.OwnerURL, two.OwnerURL}
	errs := make([]error, len(urls))
	var all sync.WaitGroup
	for i, address := range urls {
		all.Go(func() { _, errs[i] = migrations.Up(t.Context(), address) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, db := range []*pgtest.Database{one, two} {
		done, err := migrations.Status(t.Context(), db.OwnerURL)
		require.NoError(t, err)
		require.Empty(t, done.Pending)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	serving := db.Pool(t)
	require.NoError(t, migrations.Check(t.Context(), serving))

	err := migrations.Check(t.Context(), pgtest.NewEmpty(t).Pool(t))
	require.ErrorIs(t, err, migrations.ErrBehind)
	require.ErrorContains(t, err, "phantom-worker migrate up")

	_, err = pgtest.Pool(t, db.OwnerURL).Exec(t.Context(), "update phantom.schema_version set version = version + 1")
	require.NoError(t, err)
	require.ErrorIs(t, migrations.Check(t.Context(), serving), migrations.ErrAhead)
}

func TestWithoutADatabase(t *testing.T) {
	t.Parallel()
	_, err := migrations.Up(t.Context(), "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=1")
	require.ErrorContains(t, err, "PHANTOM_MIGRATE_URL")
}
