package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"
)

// supervisor runs a loop for each generation that is to be applied, as PostgreSQL says, and does what is to be done once:
// flips, and the deletion of dropped rows.
type supervisor struct {
	*Runner

	registered bool
	loops      map[loopKey]*running
	work       sync.WaitGroup
	ended      chan struct{}       // a loop has
	chores     chan struct{}       // full while nobody does them
	respites   map[loopKey]respite // of who does them
}

// respite is when a generation is tried again that could not be put in its place: for a try the live one stands still.
type respite struct {
	failures int // in a row
	until    time.Time
}

type loopKey struct {
	projection string
	generation int
}

// running is a loop that was started.
type running struct {
	cancel   context.CancelFunc
	done     chan struct{}
	restarts int64
	pace     *rate.Limiter
	began    time.Time
	restless bool // it began because a checkpoint went back
}

// restartRest is how long a loop that began again goes on at the least: all tenants share it, and one of them may rewind as
// often as it likes.
const restartRest = 2 * time.Second

// outdated tells that a loop must begin again to hear of a checkpoint that went back.
func (r *running) outdated(b build) bool {
	return b.Restarts != r.restarts && (!r.restless || time.Since(r.began) >= restartRest)
}

// Run applies news until ctx ends, and returns when all that it started has ended. What goes wrong is
// tried again; the status tells.
func (r *Runner) Run(ctx context.Context) error {
	s := &supervisor{
		Runner: r, loops: map[loopKey]*running{}, ended: make(chan struct{}, 1), chores: make(chan struct{}, 1),
		respites: map[loopKey]respite{},
	}
	s.chores <- struct{}{}
	defer s.work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for ctx.Err() == nil {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			r.params.Failed("", "", err)
		}
		s.wait(ctx)
	}
	return nil
}

func (s *supervisor) wait(ctx context.Context) {
	timer := time.NewTimer(s.params.Steer)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.nudged:
	case <-s.ended:
	case <-timer.C:
	}
}

// look reads what is to run. What cannot be read leaves all as it is.
func (s *supervisor) look(ctx context.Context) error {
	if !s.registered {
		if err := register(ctx, s.params.Pool, s.params.Projections...); err != nil {
			return err
		}
		s.registered = true
	}
	builds, err := s.builds(ctx, s.Names()...)
	if err != nil {
		return err
	}
	s.heed(ctx, builds)
	select {
	case <-s.chores:
		s.work.Go(func() {
			defer func() { s.chores <- struct{}{} }()
			s.tidy(ctx, builds)
		})
	default:
	}
	return nil
}

// heed ends the loops that should not run, and starts those that should.
func (s *supervisor) heed(ctx context.Context, builds []build) {
	wanted := make(map[loopKey]build, len(builds))
	for _, b := range builds {
		if b.PausedAt == nil && b.State != Dropping {
			wanted[loopKey{b.Projection, b.Generation}] = b
		}
	}
	restless := map[loopKey]bool{}
	for key, run := range s.loops {
		b, still := wanted[key]
		if again := still && run.outdated(b); again || !still {
			run.cancel()
			restless[key] = again
		} else {
			run.pace.SetLimit(paceOf(b))
		}
		select {
		case <-run.done:
			delete(s.loops, key)
		default:
		}
	}
	for key, b := range wanted {
		if _, runs := s.loops[key]; !runs {
			s.loops[key] = s.start(ctx, b)
			s.loops[key].restless = restless[key]
		}
	}
}

func (s *supervisor) start(ctx context.Context, b build) *running {
	ctx, cancel := context.WithCancel(ctx)
	run := &running{
		cancel: cancel, done: make(chan struct{}), restarts: b.Restarts, began: time.Now(),
		pace: rate.NewLimiter(paceOf(b), s.params.Batch),
	}
	loop := newLoop(&s.params, s.tracks[b.Projection], b.Generation, run.pace)
	s.work.Go(func() {
		defer cancel()
		loop.Run(ctx)
		close(run.done)
		select {
		case s.ended <- struct{}{}:
		default:
		}
	})
	return run
}

func paceOf(b build) rate.Limit {
	if b.PerSecond == nil {
		return rate.Inf
	}
	return rate.Limit(*b.PerSecond)
}

// tidy puts what is filled in its place, and deletes some of what is dropped.
func (s *supervisor) tidy(ctx context.Context, builds []build) {
	for _, b := range builds {
		var err error
		switch {
		case b.State == Dropping:
			err = s.sweep(ctx, b)
		case b.State == Filling && b.PausedAt == nil:
			err = s.finish(ctx, b)
		}
		if err != nil && ctx.Err() == nil {
			s.params.Failed(b.Projection, "", fmt.Errorf("generation %d: %w", b.Generation, err))
		}
	}
}

// mostRespite is the longest pause between two tries to put a generation in its place.
const mostRespite = time.Minute

// finish flips to a generation that has all but caught up. One that cannot be put in its place yet is tried again, ever
// more rarely: it may have a tenant that does not move.
func (s *supervisor) finish(ctx context.Context, b build) error {
	t, key := s.tracks[b.Projection], loopKey{b.Projection, b.Generation}
	rest := s.respites[key]
	if time.Now().Before(rest.until) {
		return nil
	}
	now, err := live(ctx, s.params.Pool, t.projection)
	if err != nil {
		return err
	}
	d, err := between(ctx, s.params.Pool, b.Projection, now.Generation, b.Generation)
	if err != nil || d.Behind > s.near(b) || d.Beyond > 0 {
		return err
	}
	if err = s.flip(ctx, t, b, once{}); err == nil {
		delete(s.respites, key)
		return nil
	}
	rest.failures++
	rest.until = time.Now().Add(min(flipPatience<<min(rest.failures-1, 10), mostRespite))
	s.respites[key] = rest
	if errors.Is(err, ErrRefused) {
		return nil
	}
	return err
}

// near is how many events a generation may have to apply yet, for the live one to stand still meanwhile.
func (s *supervisor) near(b build) int64 {
	most := s.params.Batch
	if b.PerSecond != nil {
		most = min(most, *b.PerSecond*int(flipPatience/time.Second))
	}
	return int64(most)
}

// The pieces in which rows are deleted, and how long at a time.
const (
	sweepRows = 5000
	sweepFor  = 2 * time.Second
)

// sweep deletes rows of a dropped generation for a while; when none is left, the generation itself. A tenant's checkpoint
// goes last, so a sweep that breaks off is taken up again. It begins when the batches have ended that began before the drop,
// in whatever process.
func (s *supervisor) sweep(ctx context.Context, b build) error {
	t := s.tracks[b.Projection]
	id := b.identity(t)
	if err := s.alone(ctx, id, func(pgx.Tx) error { return nil }); err != nil {
		if errors.Is(err, ErrRefused) {
			return nil
		}
		return err
	}
	places, err := id.readAll(ctx, s.params.Pool)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, at := range places {
		for {
			left, err := id.sweep(ctx, s.params.Pool, t.projection.Tables(), at.Tenant)
			if err != nil {
				return err
			}
			if time.Since(began) > sweepFor {
				s.nudge()
				return nil
			}
			if !left {
				break
			}
		}
	}
	const gone = `delete from phantom.projection_build where projection = $1 and generation = $2 and state = 'dropping'`
	_, err = s.params.Pool.Exec(ctx, gone, b.Projection, b.Generation)
	return err
}
