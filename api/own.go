package api

import (
	"context"
	"net/http"
	"sync"

	"phantom/domain"
	"phantom/readmodel"
)

// ownWrites knows what callers of this process have written that the read models may not show yet: new models and new
// versions. A write that is answered from its own events need not wait: the writer's next read does, if it comes that soon.
// Who reads from another process says Phantom-Min-Position.
type ownWrites struct {
	mu        sync.Mutex
	positions map[writer]int64
}

type writer struct {
	tenant  domain.Tenant
	subject string
}

// mostWriters bounds the memory. The oldest writes, which the catalogue has shown for long, are forgotten with the others.
const mostWriters = 10_000

func writerOf(ctx context.Context) writer {
	caller := callerOf(ctx)
	return writer{caller.Tenant, caller.Actor.Subject}
}

func (o *ownWrites) wrote(w writer, position int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.positions == nil || len(o.positions) >= mostWriters {
		o.positions = map[writer]int64{}
	}
	o.positions[w] = max(o.positions[w], position)
}

// last is the position that a caller has to see; 0 is none.
func (o *ownWrites) last(w writer) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.positions[w]
}

// shown forgets what a caller has seen.
func (o *ownWrites) shown(w writer, position int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.positions[w] == position {
		delete(o.positions, w)
	}
}

// catchUp lets a read see what its caller has written before.
func (s *server) catchUp(ctx context.Context, method string) {
	if method != http.MethodGet && method != http.MethodHead {
		return
	}
	w := writerOf(ctx)
	if position := s.own.last(w); position > 0 {
		s.settle(ctx, position, readmodel.CatalogueName, readmodel.VersionsName)
		s.own.shown(w, position)
	}
}
