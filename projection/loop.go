package projection

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"phantom/eventstore"
)

// The pauses after a failure: the first, and the longest.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Minute
)

// loop drives one projection. One goroutine owns it; workers apply a tenant's page each and report back
// through outcomes.
type loop struct {
	step

	seen     *seen
	outcomes chan outcome
	workers  sync.WaitGroup

	running  bool // the epoch is taken and the places are known
	busy     int  // tenants with a worker
	heads    map[string]int64
	tenants  map[string]*tenantState
	asked    bool      // heads are stale
	failures int       // of the loop itself, in a row
	pause    time.Time // until when, after such a failure
	standby  *standby  // not nil while a younger runner has it
}

// tenantState is what the loop knows of one tenant.
type tenantState struct {
	position int64
	busy     bool
	limit    int // events in the next batch: halved after each that failed, on the way to a poison event too
	failures int // in a row
	retryAt  time.Time
}

func newLoop(params *Params, t *track) *loop {
	return &loop{
		step:     step{params: params, projection: t.projection},
		seen:     t.seen,
		outcomes: make(chan outcome, params.Workers),
		tenants:  map[string]*tenantState{},
		asked:    true,
	}
}

// run goes on until ctx ends and its workers have returned.
func (l *loop) run(ctx context.Context) {
	defer l.workers.Wait()
	var hints <-chan struct{}
	if tail, ok := l.params.Tails[l.projection.Log()]; ok {
		subscribed, unsubscribe := tail.Subscribe()
		defer unsubscribe()
		hints = subscribed
	}
	for ctx.Err() == nil {
		if !time.Now().Before(l.pause) {
			l.rest(l.round(ctx))
		}
		l.wait(ctx, hints)
	}
}

// rest pauses the loop after a failure of its own: of what concerns all tenants.
func (l *loop) rest(err error) {
	if err == nil {
		l.failures = 0
		return
	}
	l.failures++
	l.pause = time.Now().Add(backoff(l.failures))
	l.params.Failed(l.projection.Name(), "", err)
}

// round does what can be done now, and returns without waiting for workers.
func (l *loop) round(ctx context.Context) error {
	if l.standby != nil {
		return l.watch(ctx)
	}
	if !l.running {
		if err := l.begin(ctx); err != nil {
			return err
		}
	}
	if l.asked {
		if err := l.refresh(ctx); err != nil {
			return err
		}
	}
	return l.dispatch(ctx)
}

// begin takes the projection over and learns where every tenant stands.
func (l *loop) begin(ctx context.Context) error {
	id, epoch, err := takeOver(ctx, l.params.Pool, l.projection)
	if err != nil {
		return err
	}
	places, err := id.readAll(ctx, l.params.Pool)
	if err != nil {
		return err
	}
	l.id, l.epoch = id, epoch
	for _, at := range places {
		l.tenant(at.Tenant).position = at.Position
		l.seen.put(at.Tenant, at.Position)
	}
	l.running, l.asked = true, true
	return nil
}

func (l *loop) refresh(ctx context.Context) error {
	heads, err := l.params.Feed.Heads(ctx, l.id.Log)
	if err != nil {
		return err
	}
	l.heads, l.asked = heads, false
	return nil
}

func (l *loop) tenant(name string) *tenantState {
	t, known := l.tenants[name]
	if !known {
		t = &tenantState{limit: l.params.Batch}
		l.tenants[name] = t
	}
	return t
}

// dispatch gives tenants with news to free workers. Tenants that share a limit are read in one call.
func (l *loop) dispatch(ctx context.Context) error {
	cursors := map[int][]eventstore.Cursor{}
	free, now := l.params.Workers-l.busy, time.Now()
	for name, head := range l.heads { // in random order, so nobody is always last
		if free == 0 {
			break
		}
		t := l.tenant(name)
		if t.busy || t.position >= head || now.Before(t.retryAt) {
			continue
		}
		cursors[t.limit] = append(cursors[t.limit], eventstore.Cursor{Tenant: name, After: t.position})
		free--
	}
	for _, limit := range slices.Sorted(maps.Keys(cursors)) {
		pages, err := l.read(ctx, cursors[limit], limit)
		if err != nil {
			return err
		}
		for _, page := range pages {
			l.start(ctx, page)
		}
	}
	return nil
}

// start hands a page to a worker. The channel has room for every worker, so none waits to report.
func (l *loop) start(ctx context.Context, page eventstore.Page) {
	t := l.tenant(page.Tenant)
	if page.Through <= t.position && page.Err == nil {
		return
	}
	t.busy = true
	l.busy++
	after, s := t.position, l.step
	l.workers.Go(func() { l.outcomes <- s.attempt(ctx, after, page) })
}

// wait sleeps until there is something to do.
func (l *loop) wait(ctx context.Context, hints <-chan struct{}) {
	timer := time.NewTimer(l.nap())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-hints:
		l.asked = true
	case <-timer.C:
		l.asked = true
	case done := <-l.outcomes:
		l.settle(done)
	}
	for { // what else came meanwhile
		select {
		case done := <-l.outcomes:
			l.settle(done)
		default:
			return
		}
	}
}

// nap is how long nothing needs to be done, if nobody calls.
func (l *loop) nap() time.Duration {
	nap, now := l.params.Sweep, time.Now()
	switch {
	case now.Before(l.pause):
		return l.pause.Sub(now)
	case l.standby != nil:
		return l.standby.until.Sub(now)
	}
	for name, t := range l.tenants {
		if !t.busy && now.Before(t.retryAt) && l.heads[name] > t.position {
			nap = min(nap, t.retryAt.Sub(now))
		}
	}
	return nap
}

// backoff grows with the failures in a row, and differs from runner to runner.
func backoff(failures int) time.Duration {
	pause := lastPause
	if failures < 12 {
		pause = min(lastPause, firstPause<<failures)
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // spreads load, protects nothing
}
