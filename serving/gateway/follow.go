package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"phantom/domain"
	"phantom/serving/durable"
)

const (
	pageEvents  = 1000
	syncTimeout = 10 * time.Second
)

// follower is what Follow knows besides the routes in force.
type follower struct {
	gateway *Gateway
	acked   map[domain.Tenant]int64 // what the others know of us
	owed    map[domain.Tenant]int64 // what they wait for
	dirty   bool                    // the routes in force are not on disk
	saved   *table                  // what is on disk
	beaten  time.Time
	trouble string // the last error, to report each once
}

// Follow keeps the routes up to date until ctx ends. Trouble with the log or the followers is reported to
// Log and tried again: the routes that are known stay in force. It returns nil.
func (g *Gateway) Follow(ctx context.Context) error {
	hints, unsubscribe := g.params.Feed.Subscribe()
	defer unsubscribe()
	sweep := time.NewTicker(g.params.Sweep)
	defer sweep.Stop()
	f := &follower{
		gateway: g, acked: map[domain.Tenant]int64{}, owed: maps.Clone(g.routes.Load().cursors), saved: g.routes.Load(),
	}
	for {
		f.report(f.sync(ctx))
		select {
		case <-ctx.Done():
			f.leave(ctx)
			return nil
		case <-hints:
		case <-sweep.C:
		}
	}
}

func (f *follower) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != f.trouble && err != nil && !errors.Is(err, context.Canceled) {
		f.gateway.params.Log.Warn("the gateway goes on with the routes that it knows", zap.Error(err))
	}
	f.trouble = text
}

// sync takes in the log, then acknowledges, then says that the gateway lives: whoever counts the living
// waits only for those that have caught up once.
func (f *follower) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	held, err := f.catchUp(ctx)
	if err != nil {
		return err
	}
	if err := f.acknowledge(ctx); err != nil {
		return err
	}
	if time.Since(f.beaten) >= f.gateway.params.Beat {
		if err := f.gateway.params.Followers.Beat(ctx, Group, f.gateway.params.Name); err != nil {
			return err
		}
		f.beaten = time.Now()
	}
	return held
}

// catchUp reads up to the heads. The second error is of tenants that are held up and keeps nobody else.
func (f *follower) catchUp(ctx context.Context) (held, err error) {
	g := f.gateway
	heads, err := g.params.Feed.Heads(ctx)
	if err != nil {
		return nil, err
	}
	if next, forgotten := g.routes.Load().forget(heads); len(forgotten) > 0 {
		g.params.Log.Warn("the log is another one than that of the routes, folding it anew", zap.Any("tenants", forgotten))
		for _, tenant := range forgotten {
			delete(f.acked, tenant)
			delete(f.owed, tenant)
		}
		if err := f.put(next, true); err != nil {
			return nil, err
		}
	}
	for cursors := g.routes.Load().behind(heads); len(cursors) > 0; cursors = g.routes.Load().behind(heads) {
		pages, err := g.params.Feed.ReadAfter(ctx, cursors, routeEvents(), pageEvents)
		if err != nil {
			return held, err
		}
		read := map[domain.Tenant]bool{}
		for _, page := range pages {
			read[page.Tenant] = page.Err == nil && page.Through > cursors[page.Tenant]
			if page.Err != nil {
				held = fmt.Errorf("the routes of tenant %s are held at position %d: %w", page.Tenant, page.Through, page.Err)
			}
		}
		maps.DeleteFunc(heads, func(tenant domain.Tenant, _ int64) bool { return !read[tenant] })
		if err := f.take(pages); err != nil {
			return held, err
		}
	}
	if f.dirty {
		if err := f.put(g.routes.Load(), true); err != nil {
			return held, err
		}
	}
	g.ready.Store(true)
	return held, nil
}

// take puts the routes of the pages in force and on disk, and notes what to acknowledge.
func (f *follower) take(pages []Page) error {
	next, changed := f.gateway.routes.Load().fold(pages)
	for _, page := range pages {
		_, known := f.acked[page.Tenant]
		if len(page.Events) > 0 || !known {
			f.owed[page.Tenant] = page.Through
		}
	}
	return f.put(next, changed)
}

// put brings the table into force at once, and on disk when a route changed: a cursor that is a little
// old only means to read the same events again.
func (f *follower) put(next *table, changed bool) error {
	f.gateway.routes.Store(next)
	if !changed {
		return nil
	}
	f.dirty = true
	if err := durable.Save(f.gateway.params.RouteFile, next.snapshot()); err != nil {
		return fmt.Errorf("save the routes: %w", err)
	}
	f.dirty, f.saved = false, next
	return nil
}

func (f *follower) acknowledge(ctx context.Context) error {
	if f.dirty {
		return nil
	}
	for tenant, position := range f.owed {
		if f.acked[tenant] >= position {
			delete(f.owed, tenant)
			continue
		}
		if err := f.gateway.params.Followers.Ack(ctx, string(tenant), Group, f.gateway.params.Name, position); err != nil {
			return err
		}
		f.acked[tenant] = position
		delete(f.owed, tenant)
	}
	return nil
}

// leave keeps the cursors for the next start and says goodbye, so that no shift waits for the lease.
func (f *follower) leave(ctx context.Context) {
	if current := f.gateway.routes.Load(); current != f.saved && f.gateway.ready.Load() {
		f.report(f.put(current, true))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	f.report(f.gateway.params.Followers.Leave(ctx, Group, f.gateway.params.Name))
}
