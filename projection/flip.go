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

// flipPatience is how long the live generation stands still for another one to catch up with it.
const flipPatience = time.Second

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

// distance is how far a generation is from taking another one's place.
type distance struct {
	Behind int64 // positions, of all tenants
	Beyond int64 // events that it parks and the other does not
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func between(ctx context.Context, db queryer, name string, from, to int) (distance, error) {
	var d distance
	err := db.QueryRow(ctx, `select behind, parked_beyond from phantom.projection_distance($1, $2, $3)`, name, from, to).
		Scan(&d.Behind, &d.Beyond)
	if err != nil {
		return d, fmt.Errorf("comparing generations %d and %d of projection %s: %w", from, to, name, err)
	}
	return d, nil
}

// flip makes a generation live, in one transaction. The live one stands still meanwhile, so whoever has seen a position
// sees it afterwards too; the other one goes on, and is waited for. Refused when it does not catch up in a second, or when
// it would show less: it parks what the live one shows.
func (r *Runner) flip(ctx context.Context, t *track, next build, o once) error {
	now, err := live(ctx, r.params.Pool, t.projection)
	if err != nil {
		return err
	}
	err = r.alone(ctx, now, func(tx pgx.Tx) error {
		if err := o.begin(ctx, tx); err != nil {
			return err
		}
		if err := caughtUp(ctx, tx, now, next.Generation); err != nil {
			return err
		}
		return replace(ctx, tx, now, next)
	})
	if err == nil {
		t.seen.all()
		r.nudge()
	}
	return err
}

// caughtUp waits until a generation has seen what the live one, which stands still, has seen.
func caughtUp(ctx context.Context, tx pgx.Tx, now identity, next int) error {
	for began, pause := time.Now(), firstPoll; ; pause = min(2*pause, lastPoll/5) {
		d, err := between(ctx, tx, now.Projection, now.Generation, next)
		switch {
		case err != nil:
			return err
		case d.Behind == 0 && d.Beyond > 0:
			return refused("generation %d of projection %s parks %d events that are shown now: retry them, or drop it",
				next, now.Projection, d.Beyond)
		case d.Behind == 0:
			return nil
		case time.Since(began) > flipPatience:
			return refused("generation %d of projection %s is %d positions behind; try again", next, now.Projection, d.Behind)
		}
		if !sleep(ctx, nil, pause) {
			return ctx.Err()
		}
	}
}

// replace is the flip itself, if the next generation is still what it was seen as: one that went live meanwhile, or came
// back, is not to be flipped to once more, and one that is filled does not go live while the projection is paused. What was
// kept before is dropped: one way back is enough.
func replace(ctx context.Context, tx pgx.Tx, now identity, next build) error {
	const (
		swap = `update phantom.projection_generation g set live_generation = $3
			from phantom.projection_build b
			where g.projection = $1 and g.live_generation = $2 and b.projection = $1 and b.generation = $3
				and $2 <> $3 and ` + seenAsSQL + ` = $4
				and (g.paused_at is null or b.state <> 'filling')`
		rest = `update phantom.projection_build set per_second = null,
				state = case when generation in ($2, $3) then 'complete' when state = 'complete' then 'dropping' else state end
			where projection = $1`
	)
	tag, err := tx.Exec(ctx, swap, now.Projection, now.Generation, next.Generation, next.State)
	if err == nil && tag.RowsAffected() == 0 {
		return refused("somebody else has changed the generations of projection %s; look again", now.Projection)
	}
	if err == nil {
		_, err = tx.Exec(ctx, rest, now.Projection, now.Generation, next.Generation)
	}
	return err
}

// locked tells that a lock was not to be had in time.
func locked(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55P03"
}
