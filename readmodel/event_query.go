package readmodel

import (
	"context"
	"slices"
	"strconv"

	"phantom/domain"
	"phantom/eventstore"
)

const envelopeColumns = `e.position, e.event_id, e.tenant_id, e.aggregate_type, e.aggregate_id,
	e.aggregate_version, e.event_type, e.event_version, e.event_data, e.metadata, e.occurred_at,
	e.recorded_at, e.causation_id, e.correlation_id, e.digest`

// ListEvents lists events of the lifecycle log in position order, straight from the log: nothing is
// behind. The limit is that of Paging.
func (r *Reader) ListEvents(ctx context.Context, tenant domain.Tenant, f EventFilter, limit int) (EventPage, error) {
	limit, err := limitOf(limit)
	if err != nil {
		return EventPage{}, err
	}
	q := newQuery(tenant, CatalogueName, "")
	if f.ModelID == "" {
		f.narrow(q, "")
	} else {
		// A branch for each kind of stream, so that each is a range of the primary key; "0" follows "/".
		own, children, end := string(f.ModelID), string(f.ModelID)+"/", string(f.ModelID)+"0"
		q.add(`select * from ((`)
		f.narrow(q, ` and e.aggregate_type = 'MLModel' and e.aggregate_id = ?`, own)
		q.add(`) union all (`)
		f.narrow(q, ` and e.aggregate_type = 'TrainingJob' and e.aggregate_id >= ? and e.aggregate_id < ?`, children, end)
		q.add(`) union all (`)
		f.narrow(q, ` and e.aggregate_type = 'Rollout' and e.aggregate_id >= ? and e.aggregate_id < ?`, children, end)
		q.add(`)) e`)
	}
	q.add(` order by position limit ?`, limit+1)
	events, _, err := ask[eventstore.Event](ctx, r, q)
	if err != nil {
		return EventPage{}, err
	}
	return eventPage(events, limit), nil
}

// LastPosition is that of the tenant's last event in the lifecycle log; 0 before the first.
func (r *Reader) LastPosition(ctx context.Context, tenant domain.Tenant) (int64, error) {
	q := newQuery(tenant, CatalogueName, `
select e.position from lifecycle.events e where e.tenant_id = $1 order by e.position desc limit 1`)
	found, _, err := ask[eventstore.Event](ctx, r, q)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].Position, nil
}

// Takes tells whether an event is one of the filter's, wherever it stands.
func (f EventFilter) Takes(e eventstore.Event) bool {
	stream := domain.StreamID{Type: domain.AggregateType(e.AggregateType), ID: e.AggregateID}
	return (f.ModelID == "" || stream.Model() == f.ModelID) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.EventType)) &&
		(f.From.IsZero() || !e.OccurredAt.Before(f.From)) &&
		(f.To.IsZero() || e.OccurredAt.Before(f.To))
}

// narrow queues the select of the filter's events; more is what else must hold.
func (f EventFilter) narrow(q *query, more string, values ...any) {
	q.add(`select `+envelopeColumns+` from lifecycle.events e where e.tenant_id = $1 and e.position > ?`, f.After)
	if len(f.Types) > 0 {
		q.add(` and e.event_type = any (?)`, f.Types)
	}
	if !f.From.IsZero() {
		q.add(` and e.occurred_at >= ?`, f.From)
	}
	if !f.To.IsZero() {
		q.add(` and e.occurred_at < ?`, f.To)
	}
	q.add(more, values...)
}

func eventPage(events []eventstore.Event, limit int) EventPage {
	page := EventPage{Items: []eventstore.Event{}}
	if len(events) > limit {
		events, page.HasMore = events[:limit], true
		page.NextCursor = strconv.FormatInt(events[limit-1].Position, 10)
	}
	for _, e := range events {
		e.OccurredAt, e.RecordedAt = e.OccurredAt.UTC(), e.RecordedAt.UTC()
		page.Items = append(page.Items, e)
		page.Position = e.Position
	}
	return page
}
