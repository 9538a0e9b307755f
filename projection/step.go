package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// applyTimeout bounds one batch of one tenant, and recordTimeout the writing down of its failure.
const (
	applyTimeout  = 30 * time.Second
	recordTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
)

// step applies pages of one generation of a projection, as one runner.
type step struct {
	params     *Params
	projection Projection
	id         identity
	epoch      int64
}

// apply writes the rows of a page and moves the checkpoint from after to the page's end, both or
// neither; what waits behind a parked event is parked. An errMoved means that another runner was there, or that nothing may
// move.
func (s *step) apply(ctx context.Context, after int64, page eventstore.Page) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	from := eventstore.Cursor{Tenant: page.Tenant, After: after}
	return pgx.BeginFunc(ctx, s.params.Pool, func(tx pgx.Tx) error {
		parked, err := s.id.advance(ctx, tx, s.epoch, from, page.Through)
		if err != nil || len(page.Events) == 0 {
			return err
		}
		flow := page.Events
		if parked > 0 {
			var wait []aside
			if flow, wait, err = s.sort(ctx, tx, page); err != nil {
				return err
			}
			if err := s.id.park(ctx, tx, page.Tenant, wait); err != nil {
				return err
			}
		}
		return s.rows(ctx, tx, flow)
	})
}

// pass moves the checkpoints of tenants whose pages hold no events, in one transaction, and tells which have moved.
func (s *step) pass(ctx context.Context, tasks []follow.Task) (moved map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	var tenants []string
	var from, to []int64
	for _, task := range tasks {
		tenants = append(tenants, task.Page.Tenant)
		from = append(from, task.After)
		to = append(to, task.Page.Through)
	}
	moved = make(map[string]bool, len(tasks))
	var batch pgx.Batch
	s.id.begin(&batch, passLock)
	batch.Queue(`select phantom.projection_pass($1, $2, $3, $4, $5, $6, $7)`,
		s.id.Log, s.id.Projection, s.id.Generation, s.epoch, tenants, from, to).Query(func(rows pgx.Rows) error {
		var tenant string
		_, err := pgx.ForEachRow(rows, []any{&tenant}, func() error { moved[tenant] = true; return nil })
		return err
	})
	return moved, s.params.Pool.SendBatch(ctx, &batch).Close()
}

// rows applies events. A panic is the fault of one of them, like an error.
func (s *step) rows(ctx context.Context, tx pgx.Tx, events []eventstore.Event) (err error) {
	if len(events) == 0 {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panics: %v", r)
		}
	}()
	return s.projection.Apply(ctx, tx, s.id.Generation, events)
}

// read asks the feed for what follows the cursors.
func (s *step) read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pages, err := s.params.Feed.ReadAfter(ctx, s.id.Log, cursors, s.projection.Types(), limit)
	if err != nil {
		return nil, fmt.Errorf("projection %s: reading the %s log: %w", s.id.Projection, s.id.Log, err)
	}
	return pages, nil
}

// fill applies one tenant's log up to a head.
func (s *step) fill(ctx context.Context, tenant string, head int64) error {
	at, err := s.id.read(ctx, s.params.Pool, tenant)
	if err != nil {
		return err
	}
	for at.Position < head {
		pages, err := s.read(ctx, []eventstore.Cursor{{Tenant: tenant, After: at.Position}}, s.params.Batch)
		if err != nil {
			return err
		}
		if len(pages) > 0 && pages[0].Err != nil && pages[0].Through <= at.Position {
			return describe(s.id, pages[0], pages[0].Err)
		}
		if len(pages) == 0 || pages[0].Through <= at.Position {
			return fmt.Errorf("projection %s: the log of tenant %s ends at %d, its head was %d",
				s.id.Projection, tenant, at.Position, head)
		}
		switch err := s.apply(ctx, at.Position, pages[0]); {
		case err == nil:
			at.Position = pages[0].Through
		case errors.Is(err, errMoved): // a runner is on the same generation: go on where it stands
			before := at.Position
			if at, err = s.id.read(ctx, s.params.Pool, tenant); err != nil {
				return err
			}
			if at.Position == before && at.Epoch <= s.epoch {
				return refused("projection %s, generation %d, is paused or dropped", s.id.Projection, s.id.Generation)
			}
			s.epoch = max(s.epoch, at.Epoch)
		default:
			return describe(s.id, pages[0], err)
		}
	}
	return nil
}

// describe says which events could not be applied.
func describe(id identity, page eventstore.Page, err error) error {
	if len(page.Events) == 1 {
		e := page.Events[0]
		return fmt.Errorf("projection %s cannot apply event %d (%s of %s %s): %w",
			id.Projection, e.Position, e.EventType, e.AggregateType, e.AggregateID, err)
	}
	if page.Err != nil && len(page.Events) == 0 {
		return fmt.Errorf("projection %s cannot read the log of tenant %s after position %d: %w",
			id.Projection, page.Tenant, page.Through, err)
	}
	return fmt.Errorf("projection %s cannot apply tenant %s up to position %d: %w",
		id.Projection, page.Tenant, page.Through, err)
}

// storable is a text that PostgreSQL takes.
func storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\ufffd")
}
