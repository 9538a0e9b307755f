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
	heads   map[domain.Tenant]int64 // of those who are behind, as far as is known
	checked time.Time               // when all heads were asked for
	trouble string                  // the last error, to report each once
}

// Follow keeps the routes up to date until ctx ends. Trouble with the log or the followers is reported to
// Log and tried again: the routes that are known stay in force. It returns nil.
func (g *Gateway) Follow(ctx context.Context) error {
	news := g.params.Feed.News()
	defer news.Close()
	sweep := time.NewTicker(g.params.Sweep)
	defer sweep.Stop()
	f := &follower{
		gateway: g, heads: map[domain.Tenant]int64{}, acked: map[domain.Tenant]int64{}, owed: maps.Clone(g.routes.Load().cursors), saved: g.routes.Load(),
	}
	for {
		err := f.sync(ctx, news.Take())
		f.report(err)
		if err != nil && g.kept && ctx.Err() == nil { // no word of the log: the last routes are the best there are
			f.open()
		}
		select {
		case <-ctx.Done():
			f.leave(ctx)
			return nil
		case <-news.C():
		case <-sweep.C:
		}
	}
}

// open makes the gateway ready, once.
func (f *follower) open() {
	select {
	case <-f.gateway.ready:
	default:
		close(f.gateway.ready)
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
// waits only for those that have caught up once. After that the gateway is ready.
func (f *follower) sync(ctx context.Context, news map[domain.Tenant]int64) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	maps.Copy(f.heads, news)
	held, err := f.takeIn(ctx)
	if err != nil {
		return err
	}
	if time.Since(f.beaten) >= f.gateway.params.Beat {
		if err := f.gateway.params.Followers.Beat(ctx, Group, f.gateway.params.Name); err != nil {
			return err
		}
		first := f.beaten.IsZero()
		f.beaten = time.Now()
		if first { // what was shifted before the beat has not waited for this gateway
			f.checked = time.Time{}
			if held, err = f.takeIn(ctx); err != nil {
				return err
			}
		}
	}
	f.open()
	return held
}

// takeIn puts what the log says in force and acknowledges it. The first error is of tenants that are held up.
func (f *follower) takeIn(ctx context.Context) (held, err error) {
	if held, err = f.catchUp(ctx); err != nil {
		return held, err
	}
	return held, f.acknowledge(ctx)
}

// recheck asks for all heads, and forgets what does not fit them.
func (f *follower) recheck(ctx context.Context) error {
	g := f.gateway
	heads, err := g.params.Feed.Heads(ctx)
	if err != nil {
		return err
	}
	if next, forgotten := g.routes.Load().forget(heads); len(forgotten) > 0 {
		g.params.Log.Warn("the log is another one than that of the routes, folding it anew", zap.Any("tenants", forgotten))
		for _, tenant := range forgotten {
			delete(f.acked, tenant)
			delete(f.owed, tenant)
		}
		if err := f.put(next, true); err != nil {
			return err
		}
	}
	f.heads, f.checked = heads, time.Now()
	return nil
}

// catchUp reads up to the heads: those of the news, and now and then all. The first error is of tenants that are held up
// and keeps nobody else.
func (f *follower) catchUp(ctx context.Context) (held, err error) {
	g := f.gateway
	if time.Since(f.checked) >= g.params.Recheck {
		if err := f.recheck(ctx); err != nil {
			return nil, err
		}
	}
	heads := maps.Clone(f.heads)
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
	maps.DeleteFunc(f.heads, func(tenant domain.Tenant, head int64) bool { return g.routes.Load().cursors[tenant] >= head })
	g.known.Store(true)
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
	if current := f.gateway.routes.Load(); current != f.saved && f.gateway.known.Load() {
		f.report(f.put(current, true))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	f.report(f.gateway.params.Followers.Leave(ctx, Group, f.gateway.params.Name))
}
