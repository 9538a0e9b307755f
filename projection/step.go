package projection

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"phantom/eventstore"
)

// applyTimeout bounds one transaction, and recordTimeout the writing down of its failure.
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
	free       sync.Map // tenants of whom nothing is parked, as this runner has left them
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
