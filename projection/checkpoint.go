package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// lockTimeout bounds how long a tenant's batch waits for rows that somebody else holds.
const lockTimeout = "2s"

// identity names whose checkpoint it is.
type identity struct {
	Projection string
	Log        eventstore.Log
	Generation int
}

// place is where a projection stands in one tenant's log.
type place struct {
	Tenant        string     `db:"tenant_id"`
	Epoch         int64      `db:"epoch"`
	Position      int64      `db:"position"`
	UpdatedAt     time.Time  `db:"updated_at"`
	Error         *string    `db:"error"`
	ErrorPosition *int64     `db:"error_position"`
	FailedAt      *time.Time `db:"failed_at"`
}

// errMoved says that the checkpoint is not where this runner left it.
var errMoved = errors.New("another runner has moved the checkpoint")

const setTenant = `select set_config('phantom.tenant', $1, true), set_config('lock_timeout', $2, true)`

// The first batch inserts the row; without it, a cursor beyond 0 means that the row was taken away.
const advanceSQL = `
insert into phantom.projection_checkpoint as c
    (tenant_id, log, projection, generation, epoch, position)
select $1, $2, $3, $4, $5, $7::bigint
where $6::bigint = 0 or exists (
    select 1 from phantom.projection_checkpoint
    where tenant_id = $1 and log = $2 and projection = $3 and generation = $4)
on conflict on constraint projection_checkpoint_pkey do update
set position = excluded.position, epoch = excluded.epoch, updated_at = clock_timestamp(),
    error = null, error_position = null, failed_at = null
where c.position = $6 and c.epoch <= excluded.epoch`

// advance moves a tenant's checkpoint, and leaves its row locked for the rest of the transaction: a
// second runner waits there and then finds that it has moved (errMoved).
func (id identity) advance(ctx context.Context, tx pgx.Tx, epoch int64, from eventstore.Cursor, to int64) error {
	var batch pgx.Batch
	batch.Queue(setTenant, from.Tenant, lockTimeout)
	batch.Queue(advanceSQL, from.Tenant, id.Log, id.Projection, id.Generation, epoch, from.After, to)
	results := tx.SendBatch(ctx, &batch)
	_, err := results.Exec()
	if err != nil {
		return errors.Join(id.because(from.Tenant, err), results.Close())
	}
	tag, err := results.Exec()
	if err = errors.Join(err, results.Close()); err != nil {
		return id.because(from.Tenant, err)
	}
	if tag.RowsAffected() != 1 {
		return errMoved
	}
	return nil
}

func (id identity) because(tenant string, err error) error {
	return fmt.Errorf("checkpoint of %s, generation %d, tenant %s: %w", id.Projection, id.Generation, tenant, err)
}

const placeSQL = `
select tenant_id, epoch, position, updated_at, error, error_position, failed_at
from phantom.projection_checkpoint
where tenant_id = $1 and log = $2 and projection = $3 and generation = $4`

// read tells where one tenant stands; a tenant that was never applied stands at 0.
func (id identity) read(ctx context.Context, pool *pgxpool.Pool, tenant string) (place, error) {
	var found []place
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(placeSQL, tenant, id.Log, id.Projection, id.Generation).Query(func(rows pgx.Rows) error {
		var err error
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[place])
		return err
	})
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return place{}, id.because(tenant, err)
	}
	if len(found) == 0 {
		return place{Tenant: tenant}, nil
	}
	return found[0], nil
}

const placesSQL = `
select tenant_id, epoch, position, updated_at, error, error_position, failed_at
from phantom.projection_places($1, $2)`

// readAll tells where all tenants stand.
func (id identity) readAll(ctx context.Context, pool *pgxpool.Pool) ([]place, error) {
	rows, err := pool.Query(ctx, placesSQL, id.Projection, id.Generation)
	if err != nil {
		return nil, id.because("(all)", err)
	}
	places, err := pgx.CollectRows(rows, pgx.RowToStructByName[place])
	if err != nil {
		return nil, id.because("(all)", err)
	}
	return places, nil
}

const failSQL = `
insert into phantom.projection_checkpoint as c
    (tenant_id, log, projection, generation, epoch, position, error, error_position, failed_at)
select $1, $2, $3, $4, $5, $6::bigint, $7::text, $8::bigint, clock_timestamp()
where $6 = 0 or exists (
    select 1 from phantom.projection_checkpoint
    where tenant_id = $1 and log = $2 and projection = $3 and generation = $4)
on conflict on constraint projection_checkpoint_pkey do update
set error = excluded.error, error_position = excluded.error_position, failed_at = excluded.failed_at
where c.position = $6 and c.epoch <= $5`

// fail writes down why a tenant does not move from a position. position names the event that is to
// blame; 0 when none is.
func (id identity) fail(ctx context.Context, pool *pgxpool.Pool, epoch int64, at eventstore.Cursor, position int64, cause error) error {
	var blamed *int64
	if position > 0 {
		blamed = &position
	}
	var batch pgx.Batch
	batch.Queue(setTenant, at.Tenant, lockTimeout)
	batch.Queue(failSQL, at.Tenant, id.Log, id.Projection, id.Generation, epoch, at.After, cause.Error(), blamed)
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return id.because(at.Tenant, err)
	}
	return nil
}

const registerSQL = `
insert into phantom.projection_generation (projection, log) values ($1, $2)
on conflict on constraint projection_generation_pkey do nothing`

const takeOverSQL = `
update phantom.projection_generation set epoch = epoch + 1, seen_at = clock_timestamp() where projection = $1
returning live_generation, epoch`

// takeOver makes the caller the youngest runner of a projection.
func takeOver(ctx context.Context, pool *pgxpool.Pool, p Projection) (id identity, epoch int64, err error) {
	id = identity{Projection: p.Name(), Log: p.Log()}
	var batch pgx.Batch
	batch.Queue(registerSQL, p.Name(), p.Log())
	batch.Queue(takeOverSQL, p.Name()).QueryRow(func(row pgx.Row) error {
		return row.Scan(&id.Generation, &epoch)
	})
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return id, 0, fmt.Errorf("taking over projection %s: %w", p.Name(), err)
	}
	return id, epoch, nil
}

// beat says that a runner lives, unless there is a younger one.
func (id identity) beat(ctx context.Context, pool *pgxpool.Pool, epoch int64) (youngest bool, err error) {
	const query = `update phantom.projection_generation set seen_at = clock_timestamp() where projection = $1 and epoch = $2`
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tag, err := pool.Exec(ctx, query, id.Projection, epoch)
	if err != nil {
		return false, fmt.Errorf("beat of projection %s: %w", id.Projection, err)
	}
	return tag.RowsAffected() == 1, nil
}

// deserted tells whether the youngest runner has left or is silent, by the database's clock.
func (id identity) deserted(ctx context.Context, pool *pgxpool.Pool, silence time.Duration) (deserted bool, err error) {
	const query = `select coalesce(seen_at < clock_timestamp() - make_interval(secs => $2), true)
		from phantom.projection_generation where projection = $1`
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := pool.QueryRow(ctx, query, id.Projection, silence.Seconds()).Scan(&deserted); err != nil {
		return false, fmt.Errorf("who runs projection %s: %w", id.Projection, err)
	}
	return deserted, nil
}

// leave lets a runner that stands by take over at once.
func (id identity) leave(ctx context.Context, pool *pgxpool.Pool, epoch int64) error {
	const query = `update phantom.projection_generation set seen_at = null where projection = $1 and epoch = $2`
	if _, err := pool.Exec(ctx, query, id.Projection, epoch); err != nil {
		return fmt.Errorf("leave projection %s: %w", id.Projection, err)
	}
	return nil
}

const epochSQL = `select epoch from phantom.projection_generation where projection = $1`

// join works beside whoever runs the projection, with the epoch that there is: compare-and-set keeps
// them apart.
func join(ctx context.Context, pool *pgxpool.Pool, p Projection) (epoch int64, err error) {
	var batch pgx.Batch
	batch.Queue(registerSQL, p.Name(), p.Log())
	batch.Queue(epochSQL, p.Name()).QueryRow(func(row pgx.Row) error { return row.Scan(&epoch) })
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, fmt.Errorf("joining projection %s: %w", p.Name(), err)
	}
	return epoch, nil
}

const liveSQL = `select coalesce(
    (select live_generation from phantom.projection_generation where projection = $1), 1)`

// live is the generation that answers questions now.
func live(ctx context.Context, pool *pgxpool.Pool, p Projection) (identity, error) {
	id := identity{Projection: p.Name(), Log: p.Log()}
	if err := pool.QueryRow(ctx, liveSQL, p.Name()).Scan(&id.Generation); err != nil {
		return id, fmt.Errorf("live generation of projection %s: %w", p.Name(), err)
	}
	return id, nil
}
