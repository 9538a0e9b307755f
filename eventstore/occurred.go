package eventstore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Occurred selects events of types by the time at which they occurred for their callers.
type Occurred struct {
	Types    []string  // one at least
	From     time.Time // inclusive; zero means from the beginning
	To       time.Time // exclusive; zero means to the end
	Backward bool      // the latest first
	Limit    int       // of a page: 1 to 500 events
	// Behind is the Next of the page before, in either direction; nil means from the start. What occurred earlier may be
	// appended later: a page shows it if it lies ahead, and none shows an event twice or leaves out one that was there.
	Behind *Place
}

// Place is an event's in the order of Occurred: time, then position.
type Place struct {
	OccurredAt time.Time
	Position   int64
}

// OccurredPage is a page of events in the order of their times.
type OccurredPage struct {
	Events []Event
	Next   *Place // nil when there is nothing more
}

// LoadOccurred reads a page of a tenant's events of some types: at most Limit events and some 4 MiB. ErrCorrupt when an
// event is not what was appended.
func (s *Store) LoadOccurred(ctx context.Context, tenant string, log Log, o Occurred) (OccurredPage, error) {
	if err := ValidateOccurred(tenant, log, o); err != nil {
		return OccurredPage{}, err
	}
	var found page
	batch := asTenant(tenant)
	query, order := o.query()
	args := o.args(tenant)
	batch.Queue(log.in(bounded(query, order, len(args))), append(args, o.Limit, pageBytes)...).Query(found.collect)
	err := s.send(ctx, batch)
	if err == nil {
		err = verified(found.events)
	}
	if err != nil {
		return OccurredPage{}, fmt.Errorf("load events of the types %v of tenant %s: %w", o.Types, tenant, err)
	}
	return o.page(found), nil
}

// query is a branch for each type, so that each is a range of the index (tenant_id, event_type, occurred_at,
// position) in its order, cut off before they are merged.
func (o Occurred) query() (query, order string) {
	const forward = `select ` + envelope + ` from unnest($2::text[]) as asked (name) cross join lateral (
			select * from lifecycle.events e
			where e.tenant_id = $1 and e.event_type = asked.name and (e.occurred_at, e.position) > ($3, $5) and e.occurred_at < $4
			order by e.occurred_at, e.position limit $6) as e
		order by occurred_at, position limit $6`
	const backward = `select ` + envelope + ` from unnest($2::text[]) as asked (name) cross join lateral (
			select * from lifecycle.events e
			where e.tenant_id = $1 and e.event_type = asked.name and e.occurred_at >= $3 and (e.occurred_at, e.position) < ($4, $5)
			order by e.occurred_at desc, e.position desc limit $6) as e
		order by occurred_at desc, position desc limit $6`
	if o.Backward {
		return backward, `occurred_at desc, position desc`
	}
	return forward, `occurred_at, position`
}

// args narrow the range to what lies behind the page before: of the events at the very time where it begins, only those
// behind a position.
func (o Occurred) args(tenant string) []any {
	from, to, position := o.From, o.To, int64(0) // before every position at the first time, and before To
	if to.IsZero() {
		to = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // no event is that late
	}
	switch behind := o.Behind; {
	case behind == nil:
	case o.Backward && behind.OccurredAt.Before(to):
		to, position = behind.OccurredAt, behind.Position
	case !o.Backward && !behind.OccurredAt.Before(from):
		from, position = behind.OccurredAt, behind.Position
	}
	return []any{tenant, slices.Compact(slices.Sorted(slices.Values(o.Types))), from, to, position, o.Limit + 1}
}

func (o Occurred) page(found page) OccurredPage {
	done := OccurredPage{Events: found.events}
	if found.more {
		last := found.events[len(found.events)-1]
		done.Next = &Place{OccurredAt: last.OccurredAt, Position: last.Position}
	}
	return done
}

// ValidateOccurred returns ErrMalformed for a question without a type, or with a limit that is none. LoadOccurred calls it.
func ValidateOccurred(tenant string, log Log, o Occurred) error {
	if err := place(tenant, log); err != nil {
		return err
	}
	if len(o.Types) == 0 {
		return malformed("no event type")
	}
	if o.Limit < 1 || o.Limit > pageEvents {
		return malformed("a limit of %d events: it is 1 to %d", o.Limit, pageEvents)
	}
	return nil
}

// verified returns the ErrCorrupt of the first event that has one.
func verified(events []Event) error {
	for _, e := range events {
		if err := e.Verify(); err != nil {
			return err
		}
	}
	return nil
}
