package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errDropped says that a generation has no rows any more, or is about to lose them.
var errDropped = errors.New("the generation is dropped")

const (
	registerSQL = `
insert into phantom.projection_generation (projection, log) values ($1, $2)
on conflict on constraint projection_generation_pkey do nothing`
	registerLiveSQL = `
insert into phantom.projection_build (projection, generation, state)
select projection, live_generation, 'complete' from phantom.projection_generation where projection = $1
on conflict on constraint projection_build_pkey do nothing`
)

// register writes down that there are such projections, each with its live generation.
func register(ctx context.Context, pool *pgxpool.Pool, projections ...Projection) error {
	var batch pgx.Batch
	for _, p := range projections {
		batch.Queue(registerSQL, p.Name(), p.Log())
		batch.Queue(registerLiveSQL, p.Name())
	}
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("registering projections: %w", err)
	}
	return nil
}

const takeOverSQL = `
update phantom.projection_build set epoch = epoch + 1, seen_at = clock_timestamp()
where projection = $1 and generation = $2 and state <> 'dropping' returning epoch`

// takeOver makes the caller the youngest runner of a generation.
func (id identity) takeOver(ctx context.Context, pool *pgxpool.Pool) (epoch int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = pool.QueryRow(ctx, takeOverSQL, id.Projection, id.Generation).Scan(&epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errDropped
	}
	if err != nil {
		return 0, fmt.Errorf("taking over projection %s, generation %d: %w", id.Projection, id.Generation, err)
	}
	return epoch, nil
}

// beat says that a runner lives, unless there is a younger one. It is not flushed: what is lost with the server was no sign of
// life for long.
func (id identity) beat(ctx context.Context, pool *pgxpool.Pool, epoch int64) (youngest bool, err error) {
	const query = `update phantom.projection_build set seen_at = clock_timestamp()
		where projection = $1 and generation = $2 and epoch = $3`
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(`select set_config('synchronous_commit', 'off', true)`)
	batch.Queue(query, id.Projection, id.Generation, epoch).Exec(func(tag pgconn.CommandTag) error {
		youngest = tag.RowsAffected() == 1
		return nil
	})
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return false, fmt.Errorf("beat of projection %s: %w", id.Projection, err)
	}
	return youngest, nil
}

// deserted tells whether the youngest runner has left or is silent, by the database's clock.
func (id identity) deserted(ctx context.Context, pool *pgxpool.Pool, silence time.Duration) (deserted bool, err error) {
	const query = `select coalesce(seen_at < clock_timestamp() - make_interval(secs => $3), true)
		from phantom.projection_build where projection = $1 and generation = $2`
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := pool.QueryRow(ctx, query, id.Projection, id.Generation, silence.Seconds()).Scan(&deserted); err != nil {
		return false, fmt.Errorf("who runs projection %s: %w", id.Projection, err)
	}
	return deserted, nil
}

// leave lets a runner that stands by take over at once.
func (id identity) leave(ctx context.Context, pool *pgxpool.Pool, epoch int64) error {
	const query = `update phantom.projection_build set seen_at = null where projection = $1 and generation = $2 and epoch = $3`
	if _, err := pool.Exec(ctx, query, id.Projection, id.Generation, epoch); err != nil {
		return fmt.Errorf("leave projection %s: %w", id.Projection, err)
	}
	return nil
}
