package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// steerTimeout bounds how long steering waits for batches that are under way.
const steerTimeout = 5 * time.Second

// Pause stops a projection, of all tenants and generations, until Resume. When it returns, nothing is applied any more,
// but for a batch that does not end within 5 s.
func (r *Runner) Pause(ctx context.Context, name, reason string) error {
	t, err := r.track(name)
	if err != nil {
		return err
	}
	const query = `update phantom.projection_generation
		set paused_at = coalesce(paused_at, clock_timestamp()), pause_reason = $2 where projection = $1`
	if err := register(ctx, r.params.Pool, t.projection); err != nil {
		return err
	}
	if _, err := r.params.Pool.Exec(ctx, query, name, storable(reason)); err != nil {
		return fmt.Errorf("pausing projection %s: %w", name, err)
	}
	builds, err := r.builds(ctx, name)
	if err != nil {
		return err
	}
	for _, b := range builds {
		err := r.alone(ctx, b.identity(t), func(pgx.Tx) error { return nil })
		if err != nil && !errors.Is(err, ErrRefused) { // a batch that takes long is refused the next time
			return err
		}
	}
	r.nudge()
	return nil
}

// Resume goes on where Pause stopped; of a projection that is not paused it is none.
func (r *Runner) Resume(ctx context.Context, name string) error {
	if _, err := r.track(name); err != nil {
		return err
	}
	const query = `update phantom.projection_generation set paused_at = null, pause_reason = '' where projection = $1`
	if _, err := r.params.Pool.Exec(ctx, query, name); err != nil {
		return fmt.Errorf("resuming projection %s: %w", name, err)
	}
	r.nudge()
	return nil
}

// alone runs a transaction while nothing is applied to a generation. It is Refused when a batch is under way for too long.
func (r *Runner) alone(ctx context.Context, id identity, do func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*steerTimeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, r.params.Pool, func(tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(setTenant, "", fmt.Sprintf("%dms", steerTimeout.Milliseconds()))
		id.lock(&batch, aloneSQL)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		return do(tx)
	})
	if locked(err) {
		return refused("projection %s is applying a batch that takes long; try again", id.Projection)
	}
	if err != nil && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("steering projection %s, generation %d: %w", id.Projection, id.Generation, err)
	}
	return err
}

// Rewind takes the live generation of a projection back to where it stood at a position of one tenant's log, and applies
// again what follows: for rows that somebody has damaged. Readers of the tenant see the past meanwhile; Rebuild does not
// show it, and is for code that has changed. Counted rows go back to 0 alone. What is parked up to there stays parked.
func (r *Runner) Rewind(ctx context.Context, name, tenant string, to int64) error {
	t, err := r.track(name)
	if err != nil {
		return err
	}
	if err := register(ctx, r.params.Pool, t.projection); err != nil {
		return err
	}
	id, err := live(ctx, r.params.Pool, t.projection)
	if err != nil {
		return err
	}
	for _, table := range t.projection.Tables() {
		if table.Kind == Counted && to > 0 {
			return refused("projection %s counts, and can only be rewound to 0", name)
		}
	}
	return r.rewind(ctx, t, id, tenant, to)
}

func (r *Runner) rewind(ctx context.Context, t *track, id identity, tenant string, to int64) error {
	err := pgx.BeginFunc(ctx, r.params.Pool, func(tx pgx.Tx) error {
		if err := id.rewindable(ctx, tx, tenant, to); err != nil {
			return err
		}
		return id.rewind(ctx, tx, t.projection.Tables(), tenant, to)
	})
	if locked(err) {
		return refused("projection %s is applying a batch that takes long; try again", id.Projection)
	}
	if err == nil {
		r.nudge()
	}
	return err
}

// rewindable locks the checkpoint, and so keeps every runner out. With its lock held the generation stays live, if it is.
func (id identity) rewindable(ctx context.Context, tx pgx.Tx, tenant string, to int64) error {
	const query = `select position from phantom.projection_checkpoint
		where tenant_id = $1 and log = $2 and projection = $3 and generation = $4 for update`
	position, now := int64(0), 0
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, fmt.Sprintf("%dms", steerTimeout.Milliseconds()))
	id.lock(&batch, shareSQL)
	batch.Queue(liveSQL, id.Projection).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	batch.Queue(query, tenant, id.Log, id.Projection, id.Generation).QueryRow(func(row pgx.Row) error {
		return row.Scan(&position)
	})
	err := tx.SendBatch(ctx, &batch).Close()
	switch {
	case now != 0 && now != id.Generation:
		return refused("another generation of projection %s has gone live meanwhile; try again", id.Projection)
	case errors.Is(err, pgx.ErrNoRows):
		return refused("projection %s has applied nothing of tenant %s", id.Projection, tenant)
	case err != nil:
		return id.because(tenant, err)
	case to < 0 || to >= position:
		return refused("projection %s stands at position %d: it can be rewound to one from 0 to %d", id.Projection, position, position-1)
	}
	return nil
}

// rewind deletes what came after a position: of history, the rows that began there, and the ends that were put there.
func (id identity) rewind(ctx context.Context, tx pgx.Tx, tables []Table, tenant string, to int64) error {
	const (
		history = `delete from phantom.%[1]s where tenant_id = $1 and generation = $2 and from_position > $3;
			update phantom.%[1]s set to_position = null where tenant_id = $1 and generation = $2 and to_position > $3`
		appended = `delete from phantom.%[1]s where tenant_id = $1 and generation = $2 and position > $3`
		counted  = `delete from phantom.%[1]s where tenant_id = $1 and generation = $2 and $3::bigint = 0`
		forget   = `delete from phantom.projection_parked where tenant_id = $1 and projection = $2 and generation = $3 and position > $4`
		back     = `update phantom.projection_checkpoint set position = $5, updated_at = clock_timestamp(),
			error = null, error_position = null, failed_at = null, parked = (
				select count(*) from phantom.projection_parked where tenant_id = $1 and projection = $3 and generation = $4)
			where tenant_id = $1 and log = $2 and projection = $3 and generation = $4`
		again = `update phantom.projection_build set restarts = restarts + 1 where projection = $1 and generation = $2`
	)
	statements := map[TableKind]string{History: history, Appended: appended, Counted: counted}
	var batch pgx.Batch
	for _, table := range tables {
		for statement := range strings.SplitSeq(fmt.Sprintf(statements[table.Kind], table.Name), ";") {
			batch.Queue(statement, tenant, id.Generation, to)
		}
	}
	batch.Queue(forget, tenant, id.Projection, id.Generation, to)
	batch.Queue(back, tenant, id.Log, id.Projection, id.Generation, to)
	batch.Queue(again, id.Projection, id.Generation)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return id.because(tenant, err)
	}
	return nil
}
