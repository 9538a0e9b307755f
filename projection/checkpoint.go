package projection

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// How long a tenant's batch waits for rows that somebody else holds; and how long many tenants wait for one of them, or for a
// table that grows.
const (
	lockTimeout   = "2s"
	joinedTimeout = "100ms"
)

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
	Parked        int64      `db:"parked"` // events
	UpdatedAt     time.Time  `db:"updated_at"`
	Error         *string    `db:"error"`
	ErrorPosition *int64     `db:"error_position"`
	FailedAt      *time.Time `db:"failed_at"`
}

// errMoved says that the checkpoint is not where this runner left it, or may not move: the projection is paused, or its
// generation is dropped.
var errMoved = errors.New("another runner has moved the checkpoint")

const setTenant = `select set_config('phantom.tenant', $1, true), set_config('lock_timeout', $2, true)`

// A generation's lock is held shared by every batch, and alone by who changes what batches go by: nothing is applied
// meanwhile. It is taken in a statement of its own, so that the next one sees what its last holder committed.
const (
	shareSQL = `select pg_advisory_xact_lock_shared(hashtextextended('phantom.projection/' || $1 || '/' || $2, 0))`
	aloneSQL = `select pg_advisory_xact_lock(hashtextextended('phantom.projection/' || $1 || '/' || $2, 0))`
)

func (id identity) lock(batch *pgx.Batch, sql string) {
	batch.Queue(sql, id.Projection, strconv.Itoa(id.Generation))
}

// Rows are found by their keys, whatever the tables were like when a connection's plans were made: joins are loops over
// indexes.
const beginSQL = `select set_config('lock_timeout', $1, true), set_config('synchronous_commit', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`

// begin queues what a transaction that applies begins with. It is not flushed when it commits: rows and checkpoint are in
// one transaction, so after a crash of the server they are what they were a moment before, and are applied again.
func (id identity) begin(batch *pgx.Batch, patience string) {
	batch.Queue(`begin`)
	batch.Queue(beginSQL, patience)
	id.lock(batch, shareSQL)
}

// advance queues what moves the checkpoints of turns, and leaves their rows locked for the rest of the transaction: a second
// runner waits there, and then finds that they have moved.
func (id identity) advance(batch *pgx.Batch, epoch int64, turns []*turn) {
	tenants := make([]string, len(turns))
	from, to := make([]int64, len(turns)), make([]int64, len(turns))
	of := make(map[string]*turn, len(turns))
	for i, t := range turns {
		tenants[i], from[i], to[i] = t.Page.Tenant, t.After, t.Page.Through
		of[tenants[i]] = t
	}
	batch.Queue(`select * from phantom.projection_advance($1, $2, $3, $4, $5, $6, $7)`,
		id.Log, id.Projection, id.Generation, epoch, tenants, from, to).Query(func(rows pgx.Rows) error {
		var tenant string
		var parked int64
		_, err := pgx.ForEachRow(rows, []any{&tenant, &parked}, func() error {
			of[tenant].moved, of[tenant].parked = true, parked
			return nil
		})
		return err
	})
}

func (id identity) because(tenant string, err error) error {
	return fmt.Errorf("checkpoint of %s, generation %d, tenant %s: %w", id.Projection, id.Generation, tenant, err)
}

const placeSQL = `
select tenant_id, epoch, position, parked, updated_at, error, error_position, failed_at
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
select tenant_id, epoch, position, parked, updated_at, error, error_position, failed_at
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
select $1, $2, b.projection, b.generation, $5, $6::bigint, $7::text, $8::bigint, clock_timestamp()
from phantom.projection_build b
where b.projection = $3 and b.generation = $4 and b.state <> 'dropping' and ($6 = 0 or exists (
    select 1 from phantom.projection_checkpoint
    where tenant_id = $1 and log = $2 and projection = $3 and generation = $4))
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
	batch.Queue(failSQL, at.Tenant, id.Log, id.Projection, id.Generation, epoch, at.After, storable(cause.Error()), blamed)
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return id.because(at.Tenant, err)
	}
	return nil
}
