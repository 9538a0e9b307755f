package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lease is how long a member of a group counts as alive after it was seen.
const Lease = 10 * time.Second

// Followers remembers groups that follow a log but keep their state elsewhere, as gateways keep routes.
// Somebody who needs that all of a group have taken in a position asks who lags. Members are judged by
// the database's clock.
type Followers struct {
	pool  *pgxpool.Pool
	lease time.Duration
}

// NewFollowers takes a pool of the serving role. A lease of zero is Lease.
func NewFollowers(pool *pgxpool.Pool, lease time.Duration) *Followers {
	return &Followers{pool: pool, lease: positive(lease, Lease)}
}

const beatSQL = `
insert into phantom.follower (follower_group, name, seen_at) values ($1, $2, clock_timestamp())
on conflict on constraint follower_pkey do update set seen_at = clock_timestamp()`

// Beat says that a member is alive; call it several times within the lease. A member that begins or
// comes back is alive from here on, and is waited for: it first takes in the log, then beats.
func (f *Followers) Beat(ctx context.Context, group, name string) error {
	if _, err := f.pool.Exec(ctx, beatSQL, group, name); err != nil {
		return fmt.Errorf("heartbeat of %s in group %s: %w", name, group, err)
	}
	return nil
}

// Leave says that a member ends, so that nobody waits for it until the lease is over.
func (f *Followers) Leave(ctx context.Context, group, name string) error {
	if _, err := f.pool.Exec(ctx, `delete from phantom.follower where follower_group = $1 and name = $2`,
		group, name); err != nil {
		return fmt.Errorf("%s leaving group %s: %w", name, group, err)
	}
	return nil
}

const ackSQL = `
insert into phantom.follower_ack as a (tenant_id, follower_group, name, position, acked_at)
values ($1, $2, $3, $4, clock_timestamp())
on conflict on constraint follower_ack_pkey do update
set position = excluded.position, acked_at = excluded.acked_at
where a.position < excluded.position`

// Ack says that a member has taken in a tenant's log up to a position. It never goes back.
func (f *Followers) Ack(ctx context.Context, tenant, group, name string, position int64) error {
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(ackSQL, tenant, group, name, position)
	if err := f.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("%s in group %s acknowledging position %d: %w", name, group, position, err)
	}
	return nil
}

const laggingSQL = `
select f.name
from phantom.follower f
left join phantom.follower_ack a
    on a.tenant_id = $1 and a.follower_group = f.follower_group and a.name = f.name
where f.follower_group = $2
    and f.seen_at > clock_timestamp() - make_interval(secs => $4)
    and coalesce(a.position, 0) < $3
order by f.name`

// Lagging lists the living members that have not acknowledged a position of the tenant's log; empty
// when everybody who lives has it.
func (f *Followers) Lagging(ctx context.Context, tenant, group string, position int64) ([]string, error) {
	var names []string
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(laggingSQL, tenant, group, position, f.lease.Seconds()).Query(func(rows pgx.Rows) error {
		var err error
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := f.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("who lags in group %s behind position %d: %w", group, position, err)
	}
	return names, nil
}
