package eventstoretest

import (
	"cmp"
	"context"
	"slices"

	"phantom/eventstore"
)

// LoadOccurred is eventstore.Store.LoadOccurred.
func (m *Memory) LoadOccurred(
	ctx context.Context, tenant string, of eventstore.Log, o eventstore.Occurred,
) (eventstore.OccurredPage, error) {
	if err := eventstore.ValidateOccurred(tenant, of, o); err != nil {
		return eventstore.OccurredPage{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.OccurredPage{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []eventstore.Event
	for _, e := range m.log(tenant, of).events {
		if slices.Contains(o.Types, e.EventType) && within(o, e) && isBehind(o, e) {
			found = append(found, copied(e))
		}
	}
	slices.SortFunc(found, func(a, b eventstore.Event) int { return turned(o, placeOf(a), placeOf(b)) })
	page := eventstore.OccurredPage{Events: found}
	if len(found) > o.Limit {
		page.Events = found[:o.Limit]
		last := placeOf(found[o.Limit-1])
		page.Next = &last
	}
	return page, nil
}

func within(o eventstore.Occurred, e eventstore.Event) bool {
	return !e.OccurredAt.Before(o.From) && (o.To.IsZero() || e.OccurredAt.Before(o.To))
}

func isBehind(o eventstore.Occurred, e eventstore.Event) bool {
	return o.Behind == nil || turned(o, placeOf(e), *o.Behind) > 0
}

func placeOf(e eventstore.Event) eventstore.Place {
	return eventstore.Place{OccurredAt: e.OccurredAt, Position: e.Position}
}

// turned compares places in the direction that was asked for.
func turned(o eventstore.Occurred, a, b eventstore.Place) int {
	order := cmp.Or(a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(a.Position, b.Position))
	if o.Backward {
		return -order
	}
	return order
}

// Trace is eventstore.Store.Trace; it answers with everything at once.
func (m *Memory) Trace(ctx context.Context, tenant, correlationID string, after eventstore.TrailPlace) (eventstore.Trail, error) {
	if err := eventstore.ValidateTrace(tenant, correlationID); err != nil {
		return eventstore.Trail{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Trail{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	trail := eventstore.Trail{Through: after}
	trail.Lifecycle = m.log(tenant, eventstore.Lifecycle).correlated(correlationID, &trail.Through.Lifecycle)
	trail.Inference = m.log(tenant, eventstore.Inference).correlated(correlationID, &trail.Through.Inference)
	return trail, nil
}

func (l *log) correlated(id string, after *int64) []eventstore.Event {
	var events []eventstore.Event
	for _, e := range l.events {
		if e.Position > *after && e.CorrelationID != nil && *e.CorrelationID == id {
			events = append(events, copied(e))
		}
	}
	if len(events) > 0 {
		*after = events[len(events)-1].Position
	}
	return events
}
