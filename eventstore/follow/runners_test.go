package follow_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

// patience is for runners of which one is not to take over from another that lives: a busy machine is silent for a while.
const patience = 3 * time.Second

// works waits until a runner is the one that works.
func (s *stage) works(r *record) {
	s.t.Helper()
	for began := time.Now(); len(r.of("a")) <= 2; {
		require.Less(s.t, time.Since(began), limit, "the younger works")
		s.reaches("a", s.append("a", "A", 1))
	}
}

func TestTheYoungerRunnerWorksAndTheOlderTakesOverWhenItLeaves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var older, younger record
	s.subscribe(s.pool, follow.Subscription{Takeover: patience}, older.handle)
	s.reaches("a", s.append("a", "A", 2))
	stop := s.subscribe(s.db.Pool(t), follow.Subscription{Takeover: patience}, younger.handle)
	s.works(&younger)
	known := len(older.of("a"))
	s.reaches("a", s.append("a", "A", 5))
	require.Len(t, older.of("a"), known, "the older stands by")
	stop()
	s.reaches("a", s.append("a", "A", 1))
	require.Len(t, older.of("a"), known+1)
}

// TestASilentRunnerIsReplaced: it cannot say that it leaves, because nobody hears it any more.
func TestASilentRunnerIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var older, younger record
	s.subscribe(s.pool, follow.Subscription{Takeover: patience}, older.handle)
	s.reaches("a", s.append("a", "A", 2))
	pool := s.db.Pool(t)
	stop := s.subscribe(pool, follow.Subscription{Takeover: patience}, younger.handle)
	s.works(&younger)
	pool.Close()
	s.reaches("a", s.append("a", "A", 3))
	stop()
}

const ledgerTable = `
create table phantom.ledger (
	tenant_id text not null,
	position bigint not null,
	primary key (tenant_id, position)
);
alter table phantom.ledger enable row level security, force row level security;
create policy ledger_tenant on phantom.ledger to phantom_serving
	using (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
grant select, insert on phantom.ledger to phantom_serving`

// neverBack refuses a cursor that does not go forward.
const neverBack = `
create function phantom.never_back() returns trigger language plpgsql as $$
begin
	if new.position < old.position or (new.position = old.position and new.error is null) then
		raise exception 'the cursor of % went from % to %', old.tenant_id, old.position, new.position;
	end if;
	return new;
end $$;
create trigger never_back before update on phantom.subscription_cursor for each row execute function phantom.never_back()`

// TestOverlappingRunnersLoseNothingAndKeepNothingTwice: two runners take over from each other while their connections are
// killed. Each writes what it is delivered and acknowledges it in one transaction; another subscription acknowledges
// after its handler, and must be delivered everything at least once.
func TestOverlappingRunnersLoseNothingAndKeepNothingTwice(t *testing.T) {
	t.Parallel()
	const tenants, rounds, each = 5, 40, 3
	s := newStage(t)
	for _, statement := range []string{ledgerTable, neverBack} {
		_, err := pgtest.Pool(t, s.db.OwnerURL).Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	var loose record
	for i := range 2 {
		pool := named(t, s.db, fmt.Sprintf("runner-%d", i))
		sub := follow.Subscription{Name: "exact", Takeover: 30 * time.Millisecond, Batch: 2 + i, AckEvery: 4}
		s.subscribe(pool, sub, ledger(pool))
		sub.Name = "sub"
		s.subscribe(pool, sub, loose.handle)
	}
	admin := pgtest.Pool(t, s.db.AdminURL)
	var killed atomic.Int64
	stop := s.background(func(ctx context.Context) {
		for ctx.Err() == nil {
			tag, err := admin.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and application_name like 'runner-%' order by random() limit 2`)
			if err == nil {
				killed.Add(tag.RowsAffected())
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	for range rounds {
		for i := range tenants {
			s.append(fmt.Sprintf("t%d", i), "A", each)
		}
	}
	s.eventually(func() bool { return killed.Load() >= 10 }, "connections were killed")
	stop()
	for i := range tenants {
		tenant := fmt.Sprintf("t%d", i)
		s.reaches(tenant, rounds*each)
		s.eventually(func() bool { return s.count(tenant) == rounds*each }, "the ledger of "+tenant)
		require.Subset(t, loose.of(tenant), upTo(1, rounds*each))
	}
}

// ledger writes each event once: a second time would be refused by the key, and stop the tenant.
func ledger(pool *pgxpool.Pool) follow.Handler {
	return func(ctx context.Context, d *follow.Delivery) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := d.Acknowledge(ctx, tx); err != nil {
				return err
			}
			for _, e := range d.Events {
				if _, err := tx.Exec(ctx, `insert into phantom.ledger values ($1, $2)`, d.Tenant, e.Position); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (s *stage) count(tenant string) (rows int) {
	s.t.Helper()
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
	batch.Queue(`select count(*) from phantom.ledger`).QueryRow(func(row pgx.Row) error { return row.Scan(&rows) })
	require.NoError(s.t, s.pool.SendBatch(s.t.Context(), &batch).Close())
	return rows
}

// named is a pool of the serving role whose sessions bear a name.
func named(t *testing.T, db *pgtest.Database, name string) *pgxpool.Pool {
	t.Helper()
	return pgtest.Tuned(t, db.ServingURL, func(settings *pgxpool.Config) {
		settings.MaxConns = 8
		settings.ConnConfig.RuntimeParams["application_name"] = name
	})
}

// TestACursorThatSomebodyElseMovedIsNotMovedBack: the runner goes on where it finds it.
func TestACursorThatSomebodyElseMovedIsNotMovedBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin := pgtest.Pool(t, s.db.AdminURL)
	var seen record
	s.subscribe(s.pool, follow.Subscription{Batch: 1, AckEvery: 1}, func(ctx context.Context, d *follow.Delivery) error {
		if d.Through == 3 {
			if _, err := admin.Exec(ctx, `update phantom.subscription_cursor set position = 5`); err != nil {
				return err
			}
		}
		return seen.handle(ctx, d)
	})
	s.reaches("a", s.append("a", "A", 2))
	s.append("a", "A", 3)
	s.eventually(func() bool { return len(seen.of("a")) >= 3 }, "the third")
	s.reaches("a", s.append("a", "A", 1))
	require.Equal(t, []int64{1, 2, 3, 6}, seen.of("a"))
}
