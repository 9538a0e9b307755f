package eventstore

import "context"

// DeliverTogether sends so many calls of one event as one, each to a stream of its own.
func DeliverTogether(ctx context.Context, s *Store, tenant, stream string, n int) {
	calls := make([]*call, n)
	for i := range calls {
		calls[i] = fieldCall(tenant, stream+string(rune('a'+i)), 1)
	}
	s.deliver(ctx, false, calls)
}
