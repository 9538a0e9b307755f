package eventstore

import (
	"context"
	"sync"
)

// mostAtOnce is how many appends of one tenant and log a process sends at a time. The head lets them through one by one:
// one that is at work, and a few that have arrived, keep it busy.
const mostAtOnce = 4

// turns lets the appends of a tenant that waits for its head wait here, and not each on a connection of the pool, which
// would keep every other tenant from theirs. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[turnOf]*line
}

type turnOf struct {
	tenant string
	log    Log
}

// line is there as long as somebody stands in it.
type line struct {
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

func (t *turns) join(of turnOf) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = make(map[turnOf]*line)
	}
	l := t.lines[of]
	if l == nil {
		l = &line{slots: make(chan struct{}, mostAtOnce)}
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
