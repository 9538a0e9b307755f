package follow

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"phantom/eventstore"
)

const (
	firstPause = 50 * time.Millisecond // the first one after a failure
	lastPause  = time.Minute           // the longest of a tenant
	awayPause  = 2 * time.Second       // the longest of the loop: a database that is back is met soon
	endTimeout = 10 * time.Second      // of saving what was handled, after the context has ended
)

// Work is what a Loop drives: a projection, or a subscription. A Loop calls Handle from its workers, for one page of a tenant
// at a time, and everything else from one goroutine.
type Work interface {
	// Begin makes the caller the youngest runner, and tells where every tenant stands that has begun.
	Begin(ctx context.Context) ([]Place, error)
	// Beat says that this runner lives, and tells whether it is still the youngest.
	Beat(ctx context.Context) (youngest bool, err error)
	// Deserted tells whether the youngest runner has left, or was not seen for so long.
	Deserted(ctx context.Context, silence time.Duration) (bool, error)
	// Read is eventstore.Store.ReadAfter, of the types that are followed.
	Read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error)
	// Handle handles a page, or pages of several tenants in the order of their names, and says how each ended; what failed it
	// has written down.
	Handle(ctx context.Context, tasks []Task) []Outcome
	// End saves what was handled, and leaves.
	End(ctx context.Context)
}

// Place is where a follower stands in one tenant's log.
type Place struct {
	Tenant   string
	Position int64
}

// Task is one tenant's page. Head is the last position that the loop knows of: beyond the page's end there is more.
type Task struct {
	After int64
	Head  int64
	Page  eventstore.Page
	// Prepared answers with what Params.Prepare has made of it; nil of a page that was not read ahead.
	Prepared func() any
}

// Outcome is what became of a task. Position is where the tenant stands then, after Done and Moved.
type Outcome struct {
	Task     Task
	End      Ending
	Position int64
	// Superseded is true when there is a younger runner.
	Superseded bool
}

// Ending is how a task ended.
type Ending int

// The endings of a task.
const (
	Done      Ending = iota
	Moved            // somebody else has moved the cursor
	Divisible        // one of its events cannot be handled; the way to it is by halves
	Failed           // written down; the tenant rests
	Cut              // the runner ends
	Apart            // it did not work out together with others, and is to be handled by itself
)

// Params says how a Loop works; none may be zero but Tail, Heads, Gather, Together, Prepare and Failed.
type Params struct {
	// Tail tells who has news. Without one, Heads is asked every Sweep.
	Tail  *eventstore.Tail
	Heads func(context.Context) (map[string]int64, error)
	Sweep time.Duration

	// Gather is how far apart it looks for what has come while there is more all the time: small pages cost more than large
	// ones. After a look that found no events to handle, but only positions to pass, it is a little longer. 0 is not at all.
	Gather   time.Duration
	Takeover time.Duration // a runner that was not seen for so long is replaced
	Workers  int           // tenants handled at a time
	Batch    int           // events in one page
	// Together is how many tenants' pages with events are handled in one piece, of Batch events at most; else each goes by
	// itself. Pages without events always go together.
	Together int
	// Prepare, if given, does for a page that was read ahead what needs no database, while the page before it is handled.
	Prepare func(Task) any
	// Failed hears of failures that concern all tenants.
	Failed func(error)
}

// Loop drives one follower of one log over all tenants: in position order within each, and several tenants at a time. A
// tenant whose page fails rests, longer each time, and delays no other; a new tenant appears by itself. Of several
// runners the youngest works, the others wait until it leaves or is silent.
type Loop struct {
	params Params
	work   Work

	outcomes chan []Outcome
	workers  sync.WaitGroup

	running  bool // this runner is the youngest, as far as it knows
	standing bool // a younger one is; else the loop begins
	busy     int  // tenants with a worker
	tenants  map[string]*tenant
	behind   map[string]struct{} // tenants whose head is beyond their position
	ready    [][]Task            // read, and waiting for a worker, which takes all of one piece
	asked    time.Time           // when Heads last answered
	look     time.Time           // reads not before then
	woken    bool                // something has happened since it has read
	failures int                 // of the loop itself, in a row
	pause    time.Time           // until when, after such a failure
	beaten   time.Time           // the last beat, or the last look at the younger runner
}

// tenant is what the loop knows of one.
type tenant struct {
	position int64
	head     int64
	busy     bool  // read or handled
	through  int64 // then: where the page ends
	more     bool  // then: the page is full, and what follows is not read yet
	ahead    *Task // what follows it
	apart    bool  // its page is handled by itself
	limit    int   // events in the next page: halved after each that failed, on the way to a poison event too
	failures int   // in a row
	retryAt  time.Time
}

// NewLoop makes a loop. It does nothing until Run.
func NewLoop(params Params, work Work) *Loop {
	if params.Failed == nil {
		params.Failed = func(error) {}
	}
	return &Loop{
		params: params, work: work, outcomes: make(chan []Outcome, params.Workers),
		tenants: map[string]*tenant{}, behind: map[string]struct{}{},
	}
}

// Run goes on until ctx ends, its workers have returned and what they did is saved.
func (l *Loop) Run(ctx context.Context) {
	defer func() {
		l.workers.Wait()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		if l.running || l.standing { // else nothing was begun
			l.work.End(ending)
		}
	}()
	news := &eventstore.News{}
	if l.params.Tail != nil {
		news = l.params.Tail.News()
		defer news.Close()
	}
	for ctx.Err() == nil {
		if !time.Now().Before(l.pause) {
			l.rest(ctx, l.round(ctx, news))
		}
		l.wait(ctx, news)
	}
}

// rest pauses the loop after a failure of its own: of what concerns all tenants.
func (l *Loop) rest(ctx context.Context, err error) {
	if err == nil {
		l.failures = 0
		return
	}
	l.failures++
	l.pause = time.Now().Add(min(backoff(l.failures), awayPause))
	if ctx.Err() == nil {
		l.params.Failed(err)
	}
}

// round does what can be done now, and returns without waiting for workers.
func (l *Loop) round(ctx context.Context, news *eventstore.News) error {
	if err := l.hear(ctx, news); err != nil {
		return err
	}
	if l.standing {
		if err := l.watch(ctx); err != nil || l.standing {
			return err
		}
	}
	if !l.running {
		if err := l.begin(ctx); err != nil {
			return err
		}
	}
	if time.Since(l.beaten) >= l.beat() {
		if err := l.live(ctx); err != nil || l.standing {
			return err
		}
	}
	return l.dispatch(ctx)
}

// hear learns who has news.
func (l *Loop) hear(ctx context.Context, news *eventstore.News) error {
	heads := news.Take()
	if l.params.Tail == nil && time.Since(l.asked) >= l.params.Sweep {
		var err error
		if heads, err = l.params.Heads(ctx); err != nil {
			return err
		}
		l.asked = time.Now()
	}
	for name, head := range heads {
		t := l.tenant(name)
		t.head = max(t.head, head)
		l.note(name, t)
	}
	return nil
}

// note keeps the set of those who are behind.
func (l *Loop) note(name string, t *tenant) {
	if t.head > t.position {
		l.behind[name] = struct{}{}
		return
	}
	delete(l.behind, name)
}

func (l *Loop) tenant(name string) *tenant {
	t, known := l.tenants[name]
	if !known {
		t = &tenant{limit: l.params.Batch}
		l.tenants[name] = t
	}
	return t
}

// wait sleeps until there is something to do.
func (l *Loop) wait(ctx context.Context, news *eventstore.News) {
	timer := time.NewTimer(l.nap())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news.C():
		l.woken = true
	case <-timer.C:
	case done := <-l.outcomes:
		l.woken = true
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
func (l *Loop) nap() time.Duration {
	now := time.Now()
	switch {
	case now.Before(l.pause):
		return l.pause.Sub(now)
	case l.standing && l.busy > 0:
		return l.beat() // a worker's end wakes
	case l.running && l.woken && l.idle():
		return max(l.look.Sub(now), 0)
	}
	nap := l.beat() - now.Sub(l.beaten)
	if l.params.Tail == nil {
		nap = min(nap, l.params.Sweep-now.Sub(l.asked))
	}
	for name := range l.behind {
		if t := l.tenants[name]; !t.busy && now.Before(t.retryAt) {
			nap = min(nap, t.retryAt.Sub(now))
		}
	}
	return max(nap, 0)
}

// settle takes in what became of a worker's tasks.
func (l *Loop) settle(all []Outcome) {
	l.busy--
	superseded := false
	for _, done := range all {
		l.settleOne(done)
		superseded = superseded || done.Superseded
	}
	if superseded && !l.standing {
		l.standBack()
	}
}

func (l *Loop) settleOne(done Outcome) {
	name := done.Task.Page.Tenant
	t := l.tenant(name)
	ahead := t.ahead
	t.busy, t.more, t.ahead = false, false, nil
	switch done.End {
	case Done:
		t.position = done.Position
		t.failures, t.retryAt, t.apart = 0, time.Time{}, false
		t.limit = min(2*t.limit, l.params.Batch)
	case Moved:
		t.position = done.Position
	case Divisible:
		t.limit = max(1, len(done.Task.Page.Events)/2)
	case Failed:
		t.limit = max(1, len(done.Task.Page.Events)/2) // it may have been too much for a deadline or for the memory
		t.failures++
		t.retryAt = time.Now().Add(backoff(t.failures))
	case Apart:
		t.apart = true
	case Cut:
	}
	if ahead != nil && done.End == Done && ahead.After == t.position && l.running {
		l.take(t, *ahead)
		l.ready = append(l.ready, []Task{*ahead})
	}
	l.note(name, t)
}

// backoff grows with the failures in a row, and differs from runner to runner.
func backoff(failures int) time.Duration {
	pause := lastPause
	if failures < 12 {
		pause = min(lastPause, firstPause<<failures)
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // spreads load, protects nothing
}
