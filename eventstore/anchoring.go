package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How often a log is anchored: whichever comes first.
const (
	anchorEvery  = time.Minute
	anchorEvents = 1000
	lookEvery    = time.Second
)

// ErrBroken says that history is not what it was; the text names the first broken position.
var ErrBroken = errors.New("history has been changed")

// Anchoring writes a log's anchors. Several processes may do it for the same log.
//
// What it promises: an anchor is written only of history that was verified from the last known anchor on.
//
// What it does not: it does not look at what was anchored before; Auditor.Verify does.
type Anchoring struct {
	auditor *Auditor
	log     Log
	failed  func(tenant string, err error)
	tenants map[string]*anchored
}

// anchored is what is known of one tenant.
type anchored struct {
	last   Anchor
	known  bool      // last was looked for
	seen   int64     // the head up to which all is done
	since  time.Time // when events behind seen were seen first, or the last try failed; zero: there are none
	failed bool      // the last try
}

// NewAnchoring makes the anchoring of a log. failed hears what could not be anchored, and why; the tenant is empty when
// the heads could not be read. It does nothing until Run.
func NewAnchoring(auditor *Auditor, log Log, failed func(tenant string, err error)) *Anchoring {
	return &Anchoring{auditor: auditor, log: log, failed: failed, tenants: map[string]*anchored{}}
}

// Run anchors until the context ends, and returns its error then.
func (a *Anchoring) Run(ctx context.Context) error {
	for {
		began := time.Now()
		if err := a.Look(ctx, began); err != nil && ctx.Err() == nil {
			a.failed("", err)
		}
		if !rest(ctx, max(lookEvery, pollShare*time.Since(began))) {
			return ctx.Err()
		}
	}
}

// Look anchors what is due at an instant. It is not safe for concurrent use.
func (a *Anchoring) Look(ctx context.Context, now time.Time) error {
	heads, err := a.auditor.store.Heads(ctx, a.log)
	if err != nil {
		return err
	}
	for tenant, known := range a.tenants {
		if _, there := heads[tenant]; !there && known.last.Position > 0 {
			heads[tenant] = 0 // all of it is gone
		}
	}
	for tenant, head := range heads {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.tend(ctx, tenant, head, now); err != nil {
			a.failed(tenant, err)
		}
	}
	return nil
}

// tend anchors a tenant's log when that is due. After a failure it tries again a minute later.
func (a *Anchoring) tend(ctx context.Context, tenant string, head int64, now time.Time) error {
	t := a.tenants[tenant]
	if t == nil {
		t = &anchored{}
		a.tenants[tenant] = t
	}
	if head == t.seen {
		t.since = time.Time{}
		return nil
	}
	if t.since.IsZero() {
		t.since = now
	}
	many := !t.failed && head-t.seen >= anchorEvents
	if !many && now.Sub(t.since) < anchorEvery {
		return nil
	}
	last, err := a.anchor(ctx, tenant, head, t)
	if t.failed = err != nil; t.failed {
		t.since = now
		return err
	}
	t.last, t.seen, t.since = last, head, time.Time{}
	return nil
}

// anchor verifies what came after the last anchor and anchors its end. The last anchor again when nothing has a link.
func (a *Anchoring) anchor(ctx context.Context, tenant string, head int64, t *anchored) (Anchor, error) {
	if !t.known {
		t.last = Anchor{Log: a.log, Tenant: tenant}
		for found, err := range anchors(ctx, a.auditor.anchors, a.log, tenant) {
			if err != nil {
				return Anchor{}, err
			}
			t.last = found
		}
		t.known = true
	}
	w := &walk{report: Report{Tenant: tenant, Log: a.log}, link: FirstLink(a.log, tenant), at: t.last.Position}
	if w.at > 0 {
		w.link, w.chained = t.last.link(), true
	}
	if head < w.at { // or another process anchored what came after the head was read
		var err error
		if head, err = a.auditor.store.Head(ctx, tenant, a.log); err != nil {
			return Anchor{}, err
		}
	}
	if head < w.at {
		w.breaks(FlawMissing, head+1, w.at, "the log ends before its last anchor")
	} else if err := a.auditor.walkTo(ctx, w, head); err != nil {
		return Anchor{}, err
	} else if w.report.Broken == nil {
		w.end()
	}
	if b := w.report.Broken; b != nil {
		return Anchor{}, fmt.Errorf("%w: %s log of tenant %s, position %d (%s): %s; nothing is anchored any more; run: phantom-worker audit verify",
			ErrBroken, a.log, tenant, b.Position, b.Flaw, b.Detail)
	}
	if !w.chained || w.at == t.last.Position {
		return t.last, nil
	}
	next := Anchor{Log: a.log, Tenant: tenant, Position: w.at, Link: w.link.String()}
	return next, next.write(ctx, a.auditor.anchors)
}
