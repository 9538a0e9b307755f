package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnknown says that no projection of the runner has that name.
var ErrUnknown = errors.New("there is no such projection")

// ErrNotReached says that a projection had not seen a position when the waiting ended. Errors carry a
// *NotReached.
var ErrNotReached = errors.New("the read model is behind")

// NotReached is an ErrNotReached with its numbers. Cause is the last failure that was written down, or
// empty.
type NotReached struct {
	Projection     string
	Wanted, Actual int64
	Cause          string
}

func (e *NotReached) Error() string {
	text := fmt.Sprintf("projection %s is at position %d, not yet at %d", e.Projection, e.Actual, e.Wanted)
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

// Unwrap makes a NotReached an ErrNotReached.
func (e *NotReached) Unwrap() error { return ErrNotReached }

// The polling of a waiter that nobody wakes: the first pause, and the longest.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// WaitFor returns when the rows that the projection shows of the tenant hold everything up to the
// position of its log, or with a *NotReached when ctx ends first; so give it a deadline. A runner in
// this process wakes it; without one it polls.
func (r *Runner) WaitFor(ctx context.Context, name, tenant string, position int64) error {
	t, err := r.track(name)
	if err != nil {
		return err
	}
	last := place{}
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		reached, changed := t.seen.look(tenant, position)
		if reached {
			return nil
		}
		at, err := r.place(ctx, t, tenant)
		switch {
		case err == nil && at.Position >= position:
			return nil
		case err == nil:
			last = at
		case ctx.Err() == nil:
			return err
		}
		if !sleep(ctx, changed, pause) {
			return notReached(name, position, last)
		}
	}
}

// place is where the live generation stands.
func (r *Runner) place(ctx context.Context, t *track, tenant string) (place, error) {
	id, err := live(ctx, r.params.Pool, t.projection)
	if err != nil {
		return place{}, err
	}
	return id.read(ctx, r.params.Pool, tenant)
}

func notReached(name string, wanted int64, last place) error {
	e := &NotReached{Projection: name, Wanted: wanted, Actual: last.Position}
	if last.Error != nil {
		e.Cause = *last.Error
	}
	return e
}

// sleep ends with a change or the pause, and answers false when ctx ended.
func sleep(ctx context.Context, changed <-chan struct{}, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// seen is what this process knows of a projection's places: at least these are committed. It wakes
// those who wait for more.
type seen struct {
	mu        sync.Mutex
	positions map[string]int64
	waiters   map[string]chan struct{} // by tenant; closed when it moves
}

func newSeen() *seen {
	return &seen{positions: map[string]int64{}, waiters: map[string]chan struct{}{}}
}

func (s *seen) put(tenant string, position int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.positions[tenant] = position
	if changed, waited := s.waiters[tenant]; waited {
		close(changed)
		delete(s.waiters, tenant)
	}
}

// look answers whether a position is reached, and else with a channel that is closed at the next put.
func (s *seen) look(tenant string, position int64) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.positions[tenant] >= position {
		return true, nil
	}
	changed, waited := s.waiters[tenant]
	if !waited {
		changed = make(chan struct{})
		s.waiters[tenant] = changed
	}
	return false, changed
}
