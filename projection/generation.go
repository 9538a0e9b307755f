package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"phantom/eventstore"
)

// BuildState is what a generation is there for.
type BuildState string

// The states of a generation.
const (
	Live     BuildState = "live"     // it answers questions
	Filling  BuildState = "filling"  // it goes live by itself when it has caught up
	Kept     BuildState = "kept"     // it was live, and is applied for the way back
	Dropping BuildState = "dropping" // its rows are being deleted
)

// build is a generation as it is written down.
type build struct {
	Projection string         `db:"projection"`
	Log        eventstore.Log `db:"log"`
	Generation int            `db:"generation"`
	State      BuildState     `db:"state"`
	Restarts   int64          `db:"restarts"`
	PerSecond  *int           `db:"per_second"`
	MadeAt     time.Time      `db:"made_at"`
	Age        float64        `db:"age"` // seconds since it was made
	PausedAt   *time.Time     `db:"paused_at"`
	Reason     string         `db:"pause_reason"`
}

func (b build) identity(t *track) identity {
	return identity{Projection: b.Projection, Log: t.projection.Log(), Generation: b.Generation}
}

// seenAsSQL is the state of a build b that is not live.
const seenAsSQL = `case b.state when 'complete' then 'kept' else b.state end`

const buildsSQL = `
select g.projection, g.log, b.generation, b.restarts, b.per_second, b.made_at, g.paused_at, g.pause_reason,
    extract(epoch from clock_timestamp() - b.made_at)::float8 as age,
    case when b.generation = g.live_generation then 'live' else ` + seenAsSQL + ` end as state
from phantom.projection_generation g
join phantom.projection_build b on b.projection = g.projection
where g.projection = any ($1)
order by g.projection, b.generation`

// builds are the generations that there are.
func (r *Runner) builds(ctx context.Context, names ...string) ([]build, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := r.params.Pool.Query(ctx, buildsSQL, names)
	if err != nil {
		return nil, fmt.Errorf("generations of projections: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[build])
	if err != nil {
		return nil, fmt.Errorf("generations of projections: %w", err)
	}
	return found, nil
}

// in is the generation in a state.
func in(builds []build, state BuildState) (build, bool) {
	for _, b := range builds {
		if b.State == state {
			return b, true
		}
	}
	return build{}, false
}

// made is a projection with its generations.
func (r *Runner) made(ctx context.Context, name string) (*track, []build, error) {
	t, err := r.track(name)
	if err != nil {
		return nil, nil, err
	}
	builds, err := r.builds(ctx, name)
	return t, builds, err
}

// Rebuild begins to fill a new generation beside the live one, at most so many events a second (0 is no limit), and answers
// with its number, which no other one has had. It goes live by itself. Refused while another one is filled.
func (r *Runner) Rebuild(ctx context.Context, name string, perSecond int) (generation int, err error) {
	return r.rebuild(ctx, name, perSecond, once{})
}

func (r *Runner) rebuild(ctx context.Context, name string, perSecond int, o once) (generation int, err error) {
	t, err := r.track(name)
	if err != nil {
		return 0, err
	}
	if perSecond < 0 || perSecond > maxThrottle {
		return 0, refused("a throttle of %d events a second: it is 0 for none, or up to %d", perSecond, maxThrottle)
	}
	if err := register(ctx, r.params.Pool, t.projection); err != nil {
		return 0, err
	}
	const query = `
with next as (
    update phantom.projection_generation set last_generation = greatest(last_generation, (
        select max(generation) from phantom.projection_build where projection = $1)) + 1
    where projection = $1 returning projection, last_generation
)
insert into phantom.projection_build (projection, generation, state, per_second)
select projection, last_generation, 'filling', nullif($2, 0) from next returning generation`
	err = pgx.BeginFunc(ctx, r.params.Pool, func(tx pgx.Tx) error {
		if err := o.begin(ctx, tx); err != nil {
			return err
		}
		return tx.QueryRow(ctx, query, name, perSecond).Scan(&generation)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" {
		return 0, refused("a rebuild of projection %s is under way already; watch it, throttle it or drop it", name)
	}
	if err != nil {
		return 0, fmt.Errorf("rebuilding projection %s: %w", name, err)
	}
	r.nudge()
	return generation, nil
}

// maxThrottle is more than any projection applies in a second.
const maxThrottle = 1_000_000

// Throttle changes how many events a second a rebuild applies; 0 is no limit.
func (r *Runner) Throttle(ctx context.Context, name string, perSecond int) error {
	return r.throttle(ctx, name, perSecond, once{})
}

func (r *Runner) throttle(ctx context.Context, name string, perSecond int, o once) error {
	if _, err := r.track(name); err != nil {
		return err
	}
	if perSecond < 0 || perSecond > maxThrottle {
		return refused("a throttle of %d events a second: it is 0 for none, or up to %d", perSecond, maxThrottle)
	}
	const query = `update phantom.projection_build set per_second = nullif($2, 0) where projection = $1 and state = 'filling'`
	err := pgx.BeginFunc(ctx, r.params.Pool, func(tx pgx.Tx) error {
		if err := o.begin(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, query, name, perSecond)
		if err == nil && tag.RowsAffected() == 0 {
			return refused("no rebuild of projection %s is under way", name)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("throttling projection %s: %w", name, err)
	}
	r.nudge()
	return err
}

// Back makes the generation live again that was live before, at once: it was applied all along. The other one is kept.
func (r *Runner) Back(ctx context.Context, name string) (generation int, err error) {
	return r.back(ctx, name, once{})
}

func (r *Runner) back(ctx context.Context, name string, o once) (generation int, err error) {
	t, builds, err := r.made(ctx, name)
	if err != nil {
		return 0, err
	}
	kept, ok := in(builds, Kept)
	if !ok {
		return 0, refused("projection %s keeps no former generation", name)
	}
	return kept.Generation, r.flip(ctx, t, kept, o)
}

// Drop gives up a rebuild that is under way, or else the former generation that is kept. Its rows are deleted aside, in
// small pieces.
func (r *Runner) Drop(ctx context.Context, name string) (generation int, err error) {
	return r.dropOne(ctx, name, once{})
}

func (r *Runner) dropOne(ctx context.Context, name string, o once) (generation int, err error) {
	t, builds, err := r.made(ctx, name)
	if err != nil {
		return 0, err
	}
	b, ok := in(builds, Filling)
	if !ok {
		if b, ok = in(builds, Kept); !ok {
			return 0, refused("projection %s has no generation but the live one", name)
		}
	}
	return b.Generation, r.drop(ctx, t, b, o)
}

func (r *Runner) drop(ctx context.Context, t *track, b build, o once) error {
	err := r.alone(ctx, b.identity(t), func(tx pgx.Tx) error {
		if err := o.begin(ctx, tx); err != nil {
			return err
		}
		return markDropping(ctx, tx, b)
	})
	r.nudge()
	return err
}

// RebuildRequest says what is wanted of the generations of a projection: a rebuild, or one of the others.
type RebuildRequest struct {
	Throttle *int // events a second at most, 0 for no limit; nil changes nothing of a rebuild that is under way
	Back     bool // Back
	Drop     bool // Drop
	Once     Once
}

// Regenerate does what is asked for. With a throttle, while a rebuild is under way, it changes the pace. What was done
// before is not done again: see Once. Errors besides those of the four are ErrOtherRequest.
func (r *Runner) Regenerate(ctx context.Context, name string, ask RebuildRequest) error {
	o, err := ask.named(name)
	if err == nil {
		err = r.look(ctx, o)
	}
	if err == nil {
		err = r.regenerate(ctx, name, ask, o)
	}
	if errors.Is(err, ErrRefused) { // the first one may have ended meanwhile, and this one seen what it has done
		if first := r.look(ctx, o); first != nil {
			err = first
		}
	}
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

func (r *Runner) regenerate(ctx context.Context, name string, ask RebuildRequest, o once) error {
	if ask.Back && ask.Drop || (ask.Back || ask.Drop) && ask.Throttle != nil {
		return refused("throttle, back and drop are three things: ask for one of them")
	}
	if _, err := r.track(name); err != nil {
		return err
	}
	builds, err := r.builds(ctx, name)
	if err != nil {
		return err
	}
	_, filling := in(builds, Filling)
	perSecond := 0
	if ask.Throttle != nil {
		perSecond = *ask.Throttle
	}
	switch {
	case ask.Back:
		_, err = r.back(ctx, name, o)
	case ask.Drop:
		_, err = r.dropOne(ctx, name, o)
	case filling && ask.Throttle != nil:
		err = r.throttle(ctx, name, perSecond, o)
	default:
		_, err = r.rebuild(ctx, name, perSecond, o)
	}
	return err
}

// markDropping gives a generation up, if it is still what it was seen as.
func markDropping(ctx context.Context, tx pgx.Tx, b build) error {
	const query = `
with live as (select live_generation from phantom.projection_generation where projection = $1 for update)
update phantom.projection_build b set state = 'dropping' from live
where b.projection = $1 and b.generation = $2 and b.generation <> live.live_generation
    and ` + seenAsSQL + ` = $3`
	tag, err := tx.Exec(ctx, query, b.Projection, b.Generation, b.State)
	if err == nil && tag.RowsAffected() == 0 {
		return refused("somebody else has changed the generations of projection %s; look again", b.Projection)
	}
	return err
}
