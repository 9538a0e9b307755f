package eventstore

import (
	"context"
	"fmt"
)

// Trail are the events of one correlation id, those of each log in the order of their positions.
type Trail struct {
	Lifecycle []Event
	Inference []Event
	Through   TrailPlace // where it ends
	More      bool       // there is more behind Through
}

// TrailPlace is a position of each log.
type TrailPlace struct {
	Lifecycle int64
	Inference int64
}

// Trace reads what has one correlation id, such as all events of one saga, in both logs, each after its place: the zero
// value reads from the start. Of a log it reads at most 500 events and some 4 MiB at a time. ErrCorrupt when an event is
// not what was appended.
func (s *Store) Trace(ctx context.Context, tenant, correlationID string, after TrailPlace) (Trail, error) {
	// "position + 0" keeps the plan on the correlation's index: the one of positions has the order, and all events.
	const query = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and correlation_id = $2 and position > $3 order by position + 0 limit $4`
	if err := ValidateTrace(tenant, correlationID); err != nil {
		return Trail{}, err
	}
	var lifecycle, inference page
	batch := asTenant(tenant)
	paged := bounded(query, `position`, 4)
	batch.Queue(Lifecycle.in(paged), tenant, correlationID, after.Lifecycle, pageEvents+1, pageEvents, pageBytes).Query(lifecycle.collect)
	batch.Queue(Inference.in(paged), tenant, correlationID, after.Inference, pageEvents+1, pageEvents, pageBytes).Query(inference.collect)
	err := s.send(ctx, batch)
	for _, found := range []page{lifecycle, inference} {
		if err == nil {
			err = verified(found.events)
		}
	}
	if err != nil {
		return Trail{}, fmt.Errorf("trace correlation %s of tenant %s: %w", correlationID, tenant, err)
	}
	return Trail{
		Lifecycle: lifecycle.events, Inference: inference.events, More: lifecycle.more || inference.more,
		Through: TrailPlace{
			Lifecycle: lifecycle.through(after.Lifecycle), Inference: inference.through(after.Inference),
		},
	}, nil
}

// through is the position of a page's last event, or the one that it was asked after.
func (p page) through(after int64) int64 {
	if len(p.events) == 0 {
		return after
	}
	return p.events[len(p.events)-1].Position
}

// ValidateTrace returns ErrMalformed for what no correlation can be. Trace calls it.
func ValidateTrace(tenant, correlationID string) error {
	if !readable(tenant) || !readable(correlationID) {
		return malformed("correlation %q of tenant %q", correlationID, tenant)
	}
	return nil
}
