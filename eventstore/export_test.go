package eventstore

import "context"

// DeliverTogether sends so many calls of one event as one, each to a stream of its own.
func DeliverTogether(ctx context.Context, s *Store, tenant, stream string, n int) {
	calls := make([]*call, n)
	for i := range calls {
		calls[i] = fieldCall(tenant, stream+string(rune('a'+i)), 1)
	}
	s.deliver(ctx, false, calls)
	s.announce(calls)
}

// Join lets a tail hear of a store's appends as Run does, and nothing else, until leave.
func Join(s *Store, t *Tail) (leave func()) { return s.news[t.log].join(t) }

// Alone tells whether the tail would notify nobody.
func (t *Tail) Alone() bool { return t.alone() }

// Told tells whether nothing is left to be told to other processes.
func (t *Tail) Told() bool {
	t.untold.mu.Lock()
	defer t.untold.mu.Unlock()
	return len(t.untold.fresh) == 0 && len(t.outbox.C()) == 0
}

// Reading tells whether a follower reads for the others too.
func Reading(t *Tail) bool { return len(t.reading) > 0 }
