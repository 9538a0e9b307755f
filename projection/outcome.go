package projection

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"phantom/eventstore"
)

// outcome is what became of a page.
type outcome struct {
	page eventstore.Page
	end  ending
	// position is where the checkpoint stands, and epoch whose it is, when somebody else has moved it.
	position, epoch int64
}

// ending is how a page ended.
type ending int

const (
	applied   ending = iota
	moved            // another runner was there
	divisible        // one of its events cannot be applied; the way to it is by halves
	failed           // written down; the tenant rests
	cut              // the runner ends
)

// attempt applies a page and says how that ended. It runs in a worker, because what it waits for may be
// one tenant's.
func (s *step) attempt(ctx context.Context, after int64, page eventstore.Page) outcome {
	done := outcome{page: page}
	err := page.Err // it counts once all that lies before it is applied
	if page.Through > after {
		err = s.apply(ctx, after, page)
	}
	if errors.Is(err, errMoved) {
		var at place
		at, err = s.id.read(ctx, s.params.Pool, page.Tenant)
		if err == nil {
			done.end, done.position, done.epoch = moved, at.Position, at.Epoch
			return done
		}
	}
	switch {
	case err == nil:
		done.end = applied
	case ctx.Err() != nil:
		done.end = cut
	case !passing(err) && len(page.Events) > 1:
		done.end = divisible
	default:
		done.end = failed
		s.blame(ctx, eventstore.Cursor{Tenant: page.Tenant, After: after}, page, err)
	}
	return done
}

// blame writes down why a tenant does not move; what cannot be written down is told.
func (s *step) blame(ctx context.Context, at eventstore.Cursor, page eventstore.Page, err error) {
	position := int64(0)
	switch {
	case page.Through <= at.After:
		position = page.Through + 1
	case len(page.Events) == 1 && !passing(err):
		position = page.Events[0].Position
	}
	cause := describe(s.id, page, err)
	s.params.Failed(s.id.Projection, at.Tenant, cause)
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := s.id.fail(ctx, s.params.Pool, s.epoch, at, position, cause); err != nil {
		s.params.Failed(s.id.Projection, at.Tenant, err)
	}
}

// settle takes in what became of a page.
func (l *loop) settle(done outcome) {
	t := l.tenant(done.page.Tenant)
	t.busy = false
	l.busy--
	switch done.end {
	case applied:
		t.position = done.page.Through
		t.failures, t.retryAt = 0, time.Time{}
		t.limit = min(2*t.limit, l.params.Batch)
		l.seen.put(done.page.Tenant, t.position)
	case moved:
		t.position = done.position
		l.seen.put(done.page.Tenant, t.position)
		if done.epoch > l.epoch {
			l.standBack()
		}
	case divisible:
		t.limit = max(1, len(done.page.Events)/2)
	case failed:
		t.limit = max(1, len(done.page.Events)/2) // it may have been too much for a deadline or for the memory
		t.failures++
		t.retryAt = time.Now().Add(backoff(t.failures))
	case cut:
	}
}

func isNetwork(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// standby is what a runner remembers that stood back: when it looks again, and what it saw.
type standby struct {
	until  time.Time
	places map[string]place
}

// standBack begins with a first look at once.
func (l *loop) standBack() {
	if l.standby == nil {
		l.standby = &standby{until: time.Now()}
	}
}

// watch looks whether the younger runner is alive: a tenant that lags, that was not moved since the last
// look, and that does not rest after a failure, has nobody. Then this runner takes over.
func (l *loop) watch(ctx context.Context) error {
	if time.Now().Before(l.standby.until) {
		return nil
	}
	places, err := l.id.readAll(ctx, l.params.Pool)
	if err != nil {
		return err
	}
	if err := l.refresh(ctx); err != nil {
		return err
	}
	before, now := l.standby.places, make(map[string]place, len(places))
	for _, at := range places {
		now[at.Tenant] = at
		l.seen.put(at.Tenant, at.Position)
	}
	l.standby.until, l.standby.places = time.Now().Add(l.params.Takeover), now
	if before == nil || !l.deserted(before, now) {
		return nil
	}
	l.standby, l.running = nil, false
	l.asked = true
	return l.begin(ctx)
}

// deserted reports whether a tenant lags and nobody cares for it.
func (l *loop) deserted(before, now map[string]place) bool {
	for name, head := range l.heads {
		was, is := before[name], now[name]
		resting := is.FailedAt != nil && time.Since(*is.FailedAt) < 2*lastPause
		if is.Position < head && is.Position == was.Position && !resting {
			return true
		}
	}
	return false
}
