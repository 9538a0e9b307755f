package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// ErrMoved says that a cursor is not where this runner left it: another one has moved it, or is younger.
var ErrMoved = errors.New("another runner has the subscription")

// ErrSubscription says that a subscription cannot run as it is described; the text names why.
var ErrSubscription = errors.New("there can be no such subscription")

// Start is where a subscription begins in the logs of the tenants that are there when it first runs. Later tenants are
// followed from their first event.
type Start int

// The starts.
const (
	Beginning Start = iota
	Now
)

// Subscription describes a follower. Zero counts and durations take the defaults that are named.
type Subscription struct {
	// Name is what the cursors are kept under. It never changes, and belongs to one log.
	Name string
	// Types are the event types that are delivered, all when there are none; others pass by.
	Types []string
	Start Start

	Workers int // tenants handled at a time; default 4
	Batch   int // events in a delivery; default 100
	// AckEvery and AckAfter are when a cursor is moved although its tenant has more: events handled, default 500, and the
	// time since the first of them, default 1 s.
	AckEvery int
	AckAfter time.Duration
	Takeover time.Duration // a runner that was not seen for so long is replaced; default 5 s

	// Failed, if given, hears of each failure, from several goroutines; of what concerns all tenants without one.
	Failed func(tenant string, err error)
}

// Handler handles a delivery. Its context ends when the runner is to end; it may finish what it has begun.
type Handler func(ctx context.Context, d *Delivery) error

// Delivery is news of one tenant.
type Delivery struct {
	Tenant string
	Events []eventstore.Event // at least one, in the order of their positions; other followers' too, not to be changed
	// Through is how far the log was looked at for them.
	Through int64

	work         *subscriber
	acknowledged bool
	from         int64
}

// Acknowledge moves the cursor in the handler's own transaction, of the same database and a serving role: its rows and
// the cursor are committed both or neither, so they are written once. The transaction carries the tenant from here on.
// With ErrMoved, roll back and return it.
func (d *Delivery) Acknowledge(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `select set_config('phantom.tenant', $1, true)`, d.Tenant); err != nil {
		return d.work.because(d.Tenant, err)
	}
	tag, err := tx.Exec(ctx, advanceSQL, d.Tenant, d.work.Name, d.work.epoch, d.from, d.Through)
	switch {
	case err != nil:
		return d.work.because(d.Tenant, err)
	case tag.RowsAffected() != 1:
		return d.work.because(d.Tenant, ErrMoved)
	}
	d.acknowledged = true
	return nil
}

// Subscribe delivers the news of every tenant of the tail's log until ctx ends and what was handled is acknowledged; it
// returns nil then. What goes wrong meanwhile is told to Failed and tried again. The tail must run, and the pool is of
// the serving role: at most Workers + 2 connections are used.
func Subscribe(ctx context.Context, pool *pgxpool.Pool, tail *eventstore.Tail, s Subscription, handle Handler) error {
	if s.Name == "" || tail == nil || handle == nil {
		return fmt.Errorf("%w: it needs a name, a tail and a handler", ErrSubscription)
	}
	s.Workers = positive(s.Workers, 4)
	s.Batch = positive(s.Batch, 100)
	s.AckEvery = positive(s.AckEvery, 500)
	s.AckAfter = positive(s.AckAfter, time.Second)
	s.Takeover = positive(s.Takeover, 5*time.Second)
	if s.Failed == nil {
		s.Failed = func(string, error) {}
	}
	work := newSubscriber(pool, tail, s, handle)
	NewLoop(Params{
		Tail: tail, Takeover: s.Takeover, Workers: s.Workers, Batch: s.Batch,
		Failed: func(err error) { s.Failed("", err) },
	}, work).Run(ctx)
	return nil
}

func positive[N int | time.Duration](given, fallback N) N {
	if given > 0 {
		return given
	}
	return fallback
}
