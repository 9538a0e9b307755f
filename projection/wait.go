package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

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

// The polling of a waiter that nobody wakes: the first pause, and the longest, which is the only one where a runner of this
// process has moved a place of the projection of late.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
	late      = time.Second
)

// WaitFor returns when the rows that the projection shows of the tenant hold everything up to the
// position of its log, or with a *NotReached when ctx ends first; so give it a deadline. What is parked counts as seen. A
// runner in this process wakes it; without one it polls.
func (r *Runner) WaitFor(ctx context.Context, name, tenant string, position int64) error {
	t, err := r.track(name)
	if err != nil {
		return err
	}
	last := shown{}
	pause := firstPoll
	if t.seen.lately() {
		pause = lastPoll
	}
	for ; ; pause = min(2*pause, lastPoll) {
		changed := t.seen.change(tenant)
		at, err := r.shown(ctx, name, tenant)
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

// shown is where the generation stands that answers questions.
type shown struct {
	Position int64
	Cause    string // why it does not move, if it does not
}

const shownSQL = `
select coalesce(c.position, 0), case when g.paused_at is not null then
    'it is paused since ' || to_char(g.paused_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || coalesce(' (' || nullif(g.pause_reason, '') || ')', '')
    else coalesce(c.error, '') end
from phantom.projection_generation g
left join phantom.projection_checkpoint c
    on c.tenant_id = $1 and c.log = g.log and c.projection = g.projection and c.generation = g.live_generation
where g.projection = $2`

func (r *Runner) shown(ctx context.Context, name, tenant string) (at shown, err error) {
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(shownSQL, tenant, name).QueryRow(func(row pgx.Row) error { return row.Scan(&at.Position, &at.Cause) })
	err = r.params.Pool.SendBatch(ctx, &batch).Close()
	if errors.Is(err, pgx.ErrNoRows) { // nobody has run it yet
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("where projection %s stands of tenant %s: %w", name, tenant, err)
	}
	return at, nil
}

func notReached(name string, wanted int64, last shown) error {
	return &NotReached{Projection: name, Wanted: wanted, Actual: last.Position, Cause: last.Cause}
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

// seen wakes those who wait for a tenant's place to move.
type seen struct {
	mu      sync.Mutex
	last    time.Time                // somebody has moved
	waiters map[string]chan struct{} // by tenant; closed when it moves
}

func newSeen() *seen { return &seen{waiters: map[string]chan struct{}{}} }

// moved wakes those who wait for a tenant.
func (s *seen) moved(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if changed, waited := s.waiters[tenant]; waited {
		close(changed)
		delete(s.waiters, tenant)
	}
}

// lately tells whether a place has moved of late.
func (s *seen) lately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.last) < late
}

// all wakes everybody.
func (s *seen) all() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, changed := range s.waiters {
		close(changed)
	}
	clear(s.waiters)
}

// change is closed at the next move of a tenant.
func (s *seen) change(tenant string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, waited := s.waiters[tenant]
	if !waited {
		changed = make(chan struct{})
		s.waiters[tenant] = changed
	}
	return changed
}
