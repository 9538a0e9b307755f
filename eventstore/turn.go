package eventstore

import (
	"context"
	"sync"
)

// mostAtOnce is how many reads of one tenant and log wait for its head at a time.
const mostAtOnce = 4

// turns lets the reads that may wait for a tenant's head wait here, and not each on a connection of the pool, which would
// keep every other tenant from theirs. Appends have a combiner for that. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[turnOf]*turnLine
}

type turnOf struct {
	tenant string
	log    Log
}

// turnLine is there as long as somebody stands in it.
type turnLine struct {
	slots    chan struct{}
	standing int
}

// take waits for a turn; give it back. Its error is that of the context.
func (t *turns) take(ctx context.Context, tenant string, log Log) (giveBack func(), err error) {
	of := turnOf{tenant, log}
	l := t.join(of)
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots; t.leave(of) }, nil
	case <-ctx.Done():
		t.leave(of)
		return nil, ctx.Err()
	}
}

func (t *turns) join(of turnOf) *turnLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = make(map[turnOf]*turnLine)
	}
	l := t.lines[of]
	if l == nil {
		l = &turnLine{slots: make(chan struct{}, mostAtOnce)}
		t.lines[of] = l
	}
	l.standing++
	return l
}

func (t *turns) leave(of turnOf) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines[of].standing--; t.lines[of].standing == 0 {
		delete(t.lines, of)
	}
}
