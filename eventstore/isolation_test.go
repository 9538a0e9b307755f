package eventstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

const (
	restrictViolation     = "23001" // phantom.refuse_change
	insufficientPrivilege = "42501" // grants and policies
)

func stream(id string) eventstore.Stream { return eventstore.Stream{Type: "Thing", ID: id} }

// fill appends n events to a stream of its own in both logs, with a command.
func fill(t *testing.T, store *eventstore.Store, tenant string, n int) []eventstore.NewEvent {
	t.Helper()
	events := eventstoretest.Batch(n)
	for _, log := range []eventstore.Log{eventstore.Lifecycle, eventstore.Inference} {
		command := &eventstore.CommandRecord{ID: tenant + "/" + string(log), RequestHash: []byte("hash")}
		for batch := range slices.Chunk(events, eventstore.MaxBatchEvents) {
			_, err := store.Append(t.Context(), tenant, log, []eventstore.Append{{Stream: stream("s"), Events: batch}}, command)
			require.NoError(t, err)
			command = nil
		}
	}
	return events
}

// code runs a statement as a role and returns the SQLSTATE that it was refused with.
func code(t *testing.T, admin *pgxpool.Pool, role, statement string) string {
	t.Helper()
	var refused *pgconn.PgError
	err := pgx.BeginFunc(t.Context(), admin, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "set local role "+pgx.Identifier{role}.Sanitize()); err != nil {
			return fmt.Errorf("set role: %w", err)
		}
		_, err := tx.Exec(t.Context(), statement)
		return err
	})
	require.ErrorAs(t, err, &refused, "%s: %s", role, statement)
	return refused.Code
}

// eventTables are those of both logs.
func eventTables() []string { return []string{"lifecycle.events", "inference.events"} }

// TestHistoryCannotBeChanged reads the tables and the roles from the catalogue, so that those of a later migration are
// held to it too.
func TestHistoryCannotBeChanged(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	fill(t, eventstore.New(db.Pool(t)), "acme", 3)
	admin := pgtest.Pool(t, db.AdminURL)
	tables := names(t, admin, `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('lifecycle', 'inference', 'phantom') and c.relkind in ('r', 'p')
		  and 2 = (select count(*) from pg_attribute a where a.attrelid = c.oid and a.attname in ('event_data', 'digest'))`)
	require.GreaterOrEqual(t, len(tables), 2)
	owner, super := login(t, db.OwnerURL), login(t, db.AdminURL)
	ours := names(t, admin, `select r.rolname from pg_roles r where (r.rolname like 'phantom\_%' or r.rolname = $1)
		and not r.rolsuper and not r.rolbypassrls and r.rolname <> $2`, login(t, db.ServingURL), owner)
	require.GreaterOrEqual(t, len(ours), 5, "four roles and a login")
	for _, table := range tables {
		for _, change := range []string{
			"update " + table + " set tenant_id = tenant_id", "delete from " + table, "truncate " + table,
		} {
			for _, role := range ours {
				require.Equal(t, insufficientPrivilege, code(t, admin, role, change), "%s: %s", role, change)
			}
			for _, role := range []string{owner, super} {
				require.Equal(t, restrictViolation, code(t, admin, role, change), "%s: %s", role, change)
			}
		}
	}
	var left int
	require.NoError(t, admin.QueryRow(t.Context(), "select count(*) from lifecycle.events").Scan(&left))
	require.Equal(t, 3, left)
}

// login is the role that a URL connects as.
func login(t *testing.T, address string) string {
	t.Helper()
	settings, err := pgconn.ParseConfig(address)
	require.NoError(t, err)
	return settings.User
}

func TestOnlyTheAppendFunctionsInsert(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	fill(t, eventstore.New(db.Pool(t)), "acme", 1)
	admin := pgtest.Pool(t, db.AdminURL)
	const values = ` (tenant_id, position, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_version,
		event_data, metadata, occurred_at, recorded_at, digest)
		values ('acme', 2, gen_random_uuid(), 'Thing', 's', 2, 'T', 1, '{}', '{}', now(), now(), sha256('x'))`
	for _, table := range eventTables() {
		for _, role := range []string{"phantom_serving", "phantom_feed", "phantom_search", login(t, db.OwnerURL)} {
			require.Equal(t, insufficientPrivilege, code(t, admin, role, "insert into "+table+values), "%s: %s", role, table)
		}
	}
	for _, role := range []string{"phantom_serving", "phantom_append", "phantom_feed"} {
		require.Equal(t, insufficientPrivilege, code(t, admin, role, "update lifecycle.heads set first_position = 7"), role)
	}
	require.Equal(t, insufficientPrivilege, code(t, admin, "phantom_append", "update lifecycle.heads set tenant_id = 'other'"),
		"the append role may lock a head, and not change it")
	require.Equal(t, insufficientPrivilege, code(t, admin, "phantom_search", "select * from lifecycle.feed_heads()"))
}

// TestTenantsAreIsolated: a query that forgets its WHERE sees one tenant, or nothing.
func TestTenantsAreIsolated(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	// Every statement meets the session that the last one left.
	pool := pgtest.Tuned(t, db.ServingURL, func(settings *pgxpool.Config) { settings.MaxConns = 1 })
	store := eventstore.New(pool)
	fill(t, store, "acme", 2)
	fill(t, store, "globex", 5)
	_, err := store.Load(t.Context(), "globex", eventstore.Lifecycle, stream("s"), eventstore.Range{})
	require.NoError(t, err)

	for _, table := range []string{"lifecycle.events", "inference.events", "lifecycle.heads", "inference.heads", "phantom.commands"} {
		require.Empty(t, tenants(t, pool, table, ""), "%s without a tenant", table)
		require.Empty(t, tenants(t, pool, table, "initech"), "%s as a tenant without events", table)
		require.Equal(t, []string{"acme"}, tenants(t, pool, table, "acme"), table)
		require.Equal(t, []string{"globex"}, tenants(t, pool, table, "globex"), table)
	}
	owner := pgtest.Pool(t, db.OwnerURL)
	for _, table := range eventTables() {
		require.Empty(t, tenants(t, owner, table, "acme"), "the owner has no policy: %s", table)
	}
}

// tenants are those that a careless query sees.
func tenants(t *testing.T, pool *pgxpool.Pool, table, tenant string) []string {
	t.Helper()
	var seen []string
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if tenant != "" {
			if _, err := tx.Exec(t.Context(), "select set_config('phantom.tenant', $1, true)", tenant); err != nil {
				return err
			}
		}
		rows, err := tx.Query(t.Context(), "select distinct tenant_id from "+table)
		if err != nil {
			return err
		}
		seen, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	require.NoError(t, err)
	return seen
}

// TestEveryTenantTableIsGuarded reads the catalogue, so that a table that a later migration adds is held to it too.
func TestEveryTenantTableIsGuarded(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	require.Empty(t, names(t, admin, `
		select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		 where n.nspname in ('lifecycle', 'inference', 'phantom', 'keyring') and c.relkind in ('r', 'p')
		   and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
		   and not (c.relrowsecurity and c.relforcerowsecurity)`), "tables without forced row-level security")
	require.Empty(t, names(t, admin, `
		select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		 where n.nspname in ('lifecycle', 'inference') and c.relkind in ('r', 'p') and c.relname ~ '^(events|chain)(_[0-9]+)?$'
		   and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'refuse_change' and t.tgenabled = 'A')`),
		"tables of history without their trigger")
	require.Empty(t, names(t, admin, `
		select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
		 where n.nspname in ('lifecycle', 'inference') and not (
		   p.prosecdef and p.provolatile = 'v' and not r.rolcanlogin and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
		   and 'plan_cache_mode=force_generic_plan' = any (p.proconfig)
		   and p.proacl is not null and not exists (select from aclexplode(p.proacl) a where a.grantee = 0))`),
		"functions that are not pinned, or that everybody may call")
	wide := names(t, admin, `select r.rolname from pg_roles r where r.rolname in ('phantom_append', 'phantom_feed', 'phantom_search', 'phantom_prune', 'phantom_keyring')
		and pg_has_role($1, r.oid, 'usage')`, login(t, db.OwnerURL))
	require.Empty(t, wide, "the owner stays a member of no role that sees every tenant")
}

func names(t *testing.T, pool *pgxpool.Pool, query string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), query, args...)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

func TestCheckRole(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	require.NoError(t, eventstore.CheckRole(t.Context(), db.Pool(t)))

	err := eventstore.CheckRole(t.Context(), pgtest.Pool(t, db.AdminURL))
	require.ErrorIs(t, err, eventstore.ErrRole)
	require.ErrorContains(t, err, "GRANT phantom_serving TO phantom")
	require.ErrorIs(t, eventstore.CheckRole(t.Context(), pgtest.Pool(t, db.OwnerURL)), eventstore.ErrRole)
	for _, role := range []string{"phantom_append", "phantom_feed", "phantom_search", "phantom_prune", "phantom_keyring"} {
		err = eventstore.CheckRole(t.Context(), assuming(t, db, role))
		require.ErrorIs(t, err, eventstore.ErrRole)
		require.ErrorContains(t, err, "see every tenant")
	}
	admin := pgtest.Pool(t, db.AdminURL)
	bypassing := pgx.Identifier{db.Name + "_bypass"}.Sanitize()
	_, err = admin.Exec(t.Context(), "create role "+bypassing+" bypassrls in role phantom_serving")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "drop role "+bypassing)
		require.NoError(t, err)
	})
	require.ErrorIs(t, eventstore.CheckRole(t.Context(), assuming(t, db, bypassing)), eventstore.ErrRole)

	err = eventstore.CheckRole(t.Context(), pgtest.NewEmpty(t).Pool(t))
	require.ErrorIs(t, err, eventstore.ErrSchema)
	require.ErrorContains(t, err, "phantom-worker migrate up")
}

// assuming is a pool whose sessions have taken on a role.
func assuming(t *testing.T, db *pgtest.Database, role string) *pgxpool.Pool {
	t.Helper()
	return pgtest.Tuned(t, db.AdminURL, func(settings *pgxpool.Config) {
		settings.MaxConns = 1
		settings.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "set role "+role)
			return err
		}
	})
}

func TestCorruptionIsFound(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 3)
	admin := pgtest.Pool(t, db.AdminURL)
	for _, table := range eventTables() {
		_, err := admin.Exec(t.Context(), "alter table "+table+" disable trigger refuse_change")
		require.NoError(t, err)
	}
	_, err := admin.Exec(t.Context(), `update lifecycle.events set event_data = '{"number": 1}' where position = 2`)
	require.NoError(t, err, "the same value in other bytes")

	_, err = store.Load(t.Context(), "acme", eventstore.Lifecycle, stream("s"), eventstore.Range{})
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.ErrorContains(t, err, "position 2")
	_, _, err = store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(stream("s")), "")
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	fill(t, store, "other", 2)
	pages, err := store.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}, {Tenant: "other"}}, nil, 10)
	require.NoError(t, err, "the others are read")
	require.Len(t, pages, 2)
	require.ErrorIs(t, pages[0].Err, eventstore.ErrCorrupt)
	require.Len(t, pages[0].Events, 1)
	require.EqualValues(t, 1, pages[0].Through, "the cursor stays before it")
	require.NoError(t, pages[1].Err)
	require.Len(t, pages[1].Events, 2)
	pages, err = store.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme", After: 1}}, nil, 10)
	require.NoError(t, err)
	require.ErrorIs(t, pages[0].Err, eventstore.ErrCorrupt)
	require.EqualValues(t, 1, pages[0].Through)
	events, err := store.Load(t.Context(), "acme", eventstore.Lifecycle, stream("s"), eventstore.Range{From: 3})
	require.NoError(t, err)
	require.Len(t, events, 1)
}
