package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"phantom/eventstore"
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
		switch err := s.applyOne(ctx, at.Position, pages[0]); {
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
