package eventstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// The bounds of what is read at a time. A page ends before the event that would exceed its bytes, but has one at least.
const (
	pageEvents = 500
	pageBytes  = 4 << 20
	// pageWindow is how many positions of a log are looked at for events of some types, so that a rare type costs no
	// long scan.
	pageWindow = 20_000
)

// Span selects events of a tenant's log. The zero value is the whole log.
type Span struct {
	After   int64    // the position before the first one
	Through int64    // last position, inclusive; 0 means the end of the log as it is when the walk begins
	Types   []string // none means all
}

// Walk reads a stream event by event, in bounded memory: a page of at most 500 events and some 4 MiB at a time. While the
// caller works nothing is held, no connection and no transaction. The walk ends after the range, when the caller breaks
// off, or with the first error, which comes without an event.
func (s *Store) Walk(ctx context.Context, tenant string, log Log, stream Stream, r Range) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for more, err := true, place(tenant, log); more; {
			var found page
			if err == nil {
				found, err = s.streamPage(ctx, tenant, log, stream, r)
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("walk stream %s %s of tenant %s: %w", stream.Type, stream.ID, tenant, err))
				return
			}
			if !found.deliver(yield) {
				return
			}
			more = found.more && r.advance(found.events)
		}
	}
}

// WalkLog is Walk over a tenant's log, in the order of positions.
func (s *Store) WalkLog(ctx context.Context, tenant string, log Log, span Span) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := place(tenant, log)
		for end := int64(-1); end < 0 || span.After < end; {
			var found page
			through := min(span.After+pageWindow, orEnd(span.Through))
			if err == nil {
				found, err = s.logPage(ctx, tenant, log, Span{After: span.After, Through: through, Types: span.Types})
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("walk the %s log of tenant %s after %d: %w", log, tenant, span.After, err))
				return
			}
			if !found.deliver(yield) {
				return
			}
			if end < 0 {
				end = min(found.head, orEnd(span.Through))
			}
			span.After = through
			if found.more {
				span.After = found.events[len(found.events)-1].Position
			}
		}
	}
}

// page is what one round trip brings.
type page struct {
	events []Event // not verified yet
	more   bool    // there are events behind it
	head   int64   // the log's last position, before the page was read
}

// deliver hands the events to the caller; false when he, or a corrupt event, ends the walk.
func (p page) deliver(yield func(Event, error) bool) bool {
	for _, e := range p.events {
		if err := e.Verify(); err != nil {
			yield(Event{}, err)
			return false
		}
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// advance moves a range behind what was read, and tells whether there is something left of it.
func (r *Range) advance(events []Event) bool {
	last := events[len(events)-1].AggregateVersion
	if r.Backward {
		r.To = last - 1 // more than 0, as there is more
	} else {
		r.From = last + 1
	}
	if r.Limit > 0 {
		r.Limit -= len(events)
		return r.Limit > 0
	}
	return true
}

func (s *Store) streamPage(ctx context.Context, tenant string, log Log, stream Stream, r Range) (page, error) {
	most := pageEvents
	if r.Limit > 0 {
		most = min(r.Limit, pageEvents)
	}
	r.Limit = most + 1
	order := `aggregate_version`
	if r.Backward {
		order = `aggregate_version desc`
	}
	query, args := r.query(tenant, stream, `$6`)
	var found page
	batch := asTenant(tenant)
	batch.Queue(log.in(bounded(query, order, len(args))), append(args, most, pageBytes)...).Query(found.collect)
	return found, s.send(ctx, batch)
}

func (s *Store) logPage(ctx context.Context, tenant string, log Log, span Span) (page, error) {
	const head = `select coalesce(
		(select position from lifecycle.events where tenant_id = $1 order by position desc limit 1), 0)`
	const query = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and position > $2 and position <= $3 and ($4::text[] is null or event_type = any ($4))
		order by position limit $5`
	var found page
	batch := asTenant(tenant)
	batch.Queue(log.in(head), tenant).QueryRow(func(row pgx.Row) error { return row.Scan(&found.head) })
	args := []any{tenant, span.After, span.Through, orAll(span.Types), pageEvents + 1}
	batch.Queue(log.in(bounded(query, `position`, len(args))), append(args, pageEvents, pageBytes)...).Query(found.collect)
	return found, s.send(ctx, batch)
}

// bounded makes a page of a select of one event more than a page may have. Behind the select's parameters come two: the
// page's events and bytes. Bytes are counted twice, first as they are stored, so that of large payloads only a few are
// unpacked to be counted as they are.
func bounded(query, order string, parameters int) string {
	return fmt.Sprintf(`select `+envelope+`, found from (
			select *, coalesce(sum(octet_length(event_data::text) + octet_length(metadata::text)) over earlier, 0) as bytes
			from (
				select *, count(*) over () as found, row_number() over (order by %[2]s) as number,
					coalesce(sum(pg_column_size(event_data) + pg_column_size(metadata)) over earlier, 0) as stored
				from (%[1]s) as selected
				window earlier as (order by %[2]s rows between unbounded preceding and 1 preceding)) as counted
			where number <= $%[3]d and stored < $%[4]d
			window earlier as (order by %[2]s rows between unbounded preceding and 1 preceding)) as unpacked
		where bytes < $%[4]d order by %[2]s`, query, order, parameters+1, parameters+2)
}

func (p *page) collect(rows pgx.Rows) (err error) {
	var found int
	p.events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) { return scanEventAnd(row, &found) })
	p.more = found > len(p.events)
	return err
}
