package eventstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// window is how many positions of a tenant one ReadAfter looks at, at most.
const window = 10_000

// Heads is the position of the last event of every tenant that has any in the log.
func (s *Store) Heads(ctx context.Context, log Log) (map[string]int64, error) {
	const query = `select tenant, last_position from lifecycle.feed_heads()`
	if !log.valid() {
		return nil, malformed("log %q: it is lifecycle or inference", log)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	heads := make(map[string]int64)
	rows, err := s.pool.Query(ctx, log.in(query))
	if err != nil {
		return nil, fmt.Errorf("read the heads of the %s log: %w", log, err)
	}
	var tenant string
	var position int64
	_, err = pgx.ForEachRow(rows, []any{&tenant, &position}, func() error {
		if position > 0 { // else its first append was refused, or was a command without events
			heads[tenant] = position
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the heads of the %s log: %w", log, err)
	}
	return heads, nil
}

// ReadAfter reads what came after each cursor: at most limit events a tenant, of the types (all when there are none), in
// the order of their positions. A tenant with nothing new has no page. A page may be without events: then nothing of the
// types stands up to Through. Call again with the pages' Through until there is no page, or only pages with an Err. No
// event is ever skipped: nothing can be committed later at or before a Through.
func (s *Store) ReadAfter(ctx context.Context, log Log, cursors []Cursor, types []string, limit int) ([]Page, error) {
	const through = `select tenant, through from lifecycle.feed_through($1, $2, $3)`
	const events = `select ` + envelope + ` from lifecycle.feed_events($1, $2, $3, $4, $5)`
	if !log.valid() {
		return nil, malformed("log %q: it is lifecycle or inference", log)
	}
	if limit < 1 {
		return nil, malformed("a limit of %d events", limit)
	}
	if len(cursors) == 0 {
		return nil, nil
	}
	tenants, after := make([]string, len(cursors)), make([]int64, len(cursors))
	for i, c := range cursors {
		tenants[i], after[i] = c.Tenant, c.After
	}
	// How far the log goes is read before its events: the events then hold all of the types up to there.
	reach := make(map[string]int64)
	var found []Event
	batch := &pgx.Batch{}
	batch.Queue(log.in(through), tenants, after, int64(window)).Query(func(rows pgx.Rows) error {
		var tenant string
		var position int64
		_, err := pgx.ForEachRow(rows, []any{&tenant, &position}, func() error { reach[tenant] = position; return nil })
		return err
	})
	batch.Queue(log.in(events), tenants, after, int64(window), orAll(types), limit).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scanEvent)
		return err
	})
	if err := s.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("read the %s log after %d cursors: %w", log, len(cursors), err)
	}
	return pages(cursors, found, reach, limit), nil
}

// pages sorts the events, which come in the order of the cursors, to their tenants.
func pages(cursors []Cursor, found []Event, reach map[string]int64, limit int) []Page {
	var all []Page
	for _, c := range cursors {
		page := Page{Tenant: c.Tenant, Through: max(reach[c.Tenant], c.After)}
		n := 0
		for n < len(found) && found[n].TenantID == c.Tenant {
			n++
		}
		page.Events, found = found[:n:n], found[n:]
		if n > 0 {
			last := page.Events[n-1].Position
			// A full page ends at its last event; else nothing of the types lies between it and the reach.
			if n == limit || last > page.Through {
				page.Through = last
			}
		}
		page.verify(c)
		if page.Through > c.After || page.Err != nil {
			all = append(all, page)
		}
	}
	return all
}

// verify ends the page before the first event that is not what was appended.
func (p *Page) verify(from Cursor) {
	for i, e := range p.Events {
		if err := e.Verify(); err != nil {
			p.Events, p.Through, p.Err = p.Events[:i:i], max(from.After, e.Position-1), err
			return
		}
	}
}
