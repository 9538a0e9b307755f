package eventstore

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How appends of a process share the way to PostgreSQL.
const (
	// mostFlights is how many calls of a log are under way at once. Two keep the server busy while one waits for its
	// commit; more would only divide what can travel together.
	mostFlights = 2
	// mostVigils is how many more wait for a head that another process holds, each on a connection.
	mostVigils = 2
	// mostCalls, mostEvents and mostBytes bound what travels together: how long a tenant's head is held, what one error can
	// touch, and what is sent at once. A call by itself may be larger.
	mostCalls  = 128
	mostEvents = 1000
	mostBytes  = 4 << 20
	// mostInLine is how many calls of a tenant may wait. Who comes later waits for a place, and holds nothing meanwhile.
	mostInLine = 256
	// mostRegather is how long a tenant's next flight waits for the callers of its last one.
	mostRegather = 2 * time.Millisecond
)

// combiner brings the calls of one log to PostgreSQL, together where they would have to wait anyway.
//
// A call that finds nobody waiting is sent at once, by its own goroutine. Else it stands in the line of its tenant, and
// whoever lands takes along what waits: in turn one call of each tenant, then one more of each, so that a tenant with many
// delays no other by more than a flight. Of a tenant one call is under way at a time, since its head would let in no other.
//
// A tenant whose head somebody else holds leaves the flights, and one of its calls keeps vigil at the head; of vigils there
// are few, and each gives its place back after headWait, so that no number of held tenants takes all connections.
type combiner struct {
	deliver  func(ctx context.Context, wait bool, calls []*call) (busy bool) // Store.deliver
	announce func(ended []*call)                                             // Store.announce

	mu      sync.Mutex
	lines   map[string]*line // of the tenants of which somebody is here
	ready   []*line          // with calls, in turn
	held    []*line          // with calls, behind somebody else
	flights int
	vigils  int
}

func newCombiner(deliver func(context.Context, bool, []*call) bool, announce func([]*call)) *combiner {
	return &combiner{deliver: deliver, announce: announce, lines: map[string]*line{}}
}

// do brings a call to its end, or returns the context's error: then a call that was not under way is not sent any more,
// and of one that was the outcome is unknown.
func (b *combiner) do(ctx context.Context, tenant string, encode func() *call) ([]Appended, error) {
	l := b.join(tenant)
	defer b.leave(l)
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := encode()
	if b.takeOff(l, c) { //nolint:contextcheck // what takes off then is the others', who do not leave with this caller
		b.fly(ctx, false, []*line{l}, []*call{c})
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
	}
	b.withdraw(l, c)
	select {
	case <-c.done:
		return c.result, c.err
	default:
		return nil, ctx.Err()
	}
}

func (b *combiner) join(tenant string) *line {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[tenant]
	if l == nil {
		l = &line{tenant: tenant, places: make(chan struct{}, mostInLine)}
		b.lines[tenant] = l
	}
	l.callers++
	return l
}

// leave removes a line that nobody needs: calls under way whose caller has left still need it.
func (b *combiner) leave(l *line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.callers--
	b.forget(l)
}

func (b *combiner) forget(l *line) {
	if l.callers == 0 && l.state == idle {
		delete(b.lines, l.tenant)
	}
}

// takeOff tells whether the call may be sent at once; else it stands in line.
func (b *combiner) takeOff(l *line, c *call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.state == idle && len(b.ready) == 0 && b.flights < mostFlights {
		l.state = flying
		b.flights++
		return true
	}
	l.calls = append(l.calls, c)
	l.gather()
	if l.state == idle {
		b.queue(l, ready)
	}
	b.dispatch()
	return false
}

// withdraw takes a call out of its line, and out of that to which it would come back.
func (b *combiner) withdraw(l *line, c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.left = true
	if i := slices.Index(l.calls, c); i >= 0 {
		l.calls = slices.Delete(l.calls, i, i+1)
	}
}

// fly sends calls, and settles where their lines stand afterwards. What waits is under way before anybody hears of the
// outcome: callers and followers would else be ahead of it for the processor. Only where all of it would be one tenant's,
// one flight after the other, is it worth to have the callers back first.
func (b *combiner) fly(ctx context.Context, vigil bool, lines []*line, calls []*call) {
	began := time.Now()
	busy := b.deliver(ctx, vigil, calls)
	var known, again []*call // from here on, what goes again is another flight's
	for _, c := range calls {
		if c.known {
			known = append(known, c)
		} else {
			again = append(again, c)
		}
	}
	if len(lines) == 1 && len(known) > 1 {
		b.regather(lines[0], known, time.Since(began))
		known = nil
	}
	b.land(vigil, busy, lines, again) //nolint:contextcheck // as in do
	b.tell(known)
}

func (b *combiner) tell(known []*call) {
	b.announce(known)
	for _, c := range known {
		close(c.done)
	}
}

// regather tells the callers of one tenant of their outcomes, and waits a moment for those who come back with their next
// call. They would else travel by turns, one half behind the other, and each half pay for a flush.
func (b *combiner) regather(l *line, known []*call, took time.Duration) {
	all := b.expect(l, len(known))
	b.tell(known)
	late := time.NewTimer(min(took/4, mostRegather))
	defer late.Stop()
	select {
	case <-all:
	case <-late.C:
	}
}

// expect answers with what is closed when as many calls wait as do now, and so many more.
func (b *combiner) expect(l *line, more int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.expected = min(len(l.calls)+more, mostCalls)
	l.gathered = make(chan struct{})
	l.gather()
	return l.gathered
}

func (b *combiner) land(vigil, busy bool, lines []*line, again []*call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if vigil {
		b.vigils--
	} else {
		b.flights--
	}
	// In reverse, so that each line has its calls in their old order.
	for _, c := range slices.Backward(again) {
		if !c.left {
			l := b.lines[c.tenant]
			l.calls = slices.Insert(l.calls, 0, c)
		}
	}
	for _, l := range lines {
		b.settle(l, busy)
	}
	b.dispatch()
}

func (b *combiner) settle(l *line, busy bool) {
	switch {
	case len(l.calls) == 0:
		l.state = idle
		b.forget(l)
	case busy:
		b.queue(l, held)
	default:
		b.queue(l, ready)
	}
}

func (b *combiner) queue(l *line, state lineState) {
	l.state = state
	if state == held {
		b.held = append(b.held, l)
	} else {
		b.ready = append(b.ready, l)
	}
}

// dispatch starts what may start. Each goroutine ends with its call, which is bounded in time; the pool waits for them
// when it closes.
func (b *combiner) dispatch() {
	for b.flights < mostFlights && len(b.ready) > 0 {
		lines, calls := b.collect(&b.ready, mostCalls)
		if len(calls) > 0 {
			b.flights++
			go b.start(false, lines, calls)
		}
	}
	for b.vigils < mostVigils && len(b.held) > 0 {
		lines, calls := b.collect(&b.held, 1)
		if len(calls) > 0 {
			b.vigils++
			go b.start(true, lines, calls)
		}
	}
}

func (b *combiner) start(vigil bool, lines []*line, calls []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	b.fly(ctx, vigil, lines, calls)
}

// collect takes the next calls of up to so many lines. A call that does not combine goes by itself.
func (b *combiner) collect(from *[]*line, most int) (lines []*line, calls []*call) {
	var prints []*footprint
	var all load
	for len(*from) > 0 && len(lines) < most {
		l := (*from)[0]
		if len(l.calls) == 0 { // all were withdrawn
			l.state = idle
			b.forget(l)
			*from = (*from)[1:]
			continue
		}
		if len(lines) > 0 && (!l.calls[0].combines() || !all.holds(l.calls[0])) {
			break
		}
		*from = (*from)[1:]
		l.state = flying
		lines = append(lines, l)
		if !l.calls[0].combines() {
			return lines, append(calls, l.next())
		}
		trace := newFootprint()
		trace.add(l.calls[0])
		prints = append(prints, trace)
		all.add(l.calls[0])
		calls = append(calls, l.next())
	}
	return lines, fill(lines, prints, calls, all)
}
