package eventstoretest

import (
	"context"
	"fmt"
	"slices"

	"phantom/eventstore"
)

// Load is eventstore.Store.Load.
func (m *Memory) Load(
	ctx context.Context, tenant string, of eventstore.Log, stream eventstore.Stream, r eventstore.Range,
) ([]eventstore.Event, error) {
	if err := check(ctx, of); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	events := m.stream(tenant, of, stream)
	events = slices.DeleteFunc(events, func(e eventstore.Event) bool {
		return e.AggregateVersion < r.From || beyond(e.AggregateVersion, r.To) || beyond(e.Position, r.Through)
	})
	if r.Backward {
		slices.Reverse(events)
	}
	if r.Limit > 0 && len(events) > r.Limit {
		events = events[:r.Limit]
	}
	return events, nil
}

// Head is eventstore.Store.Head.
func (m *Memory) Head(ctx context.Context, tenant string, of eventstore.Log) (int64, error) {
	if err := check(ctx, of); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.log(tenant, of).events)), nil
}

// Heads is eventstore.Store.Heads.
func (m *Memory) Heads(ctx context.Context, of eventstore.Log) (map[string]int64, error) {
	if err := check(ctx, of); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	heads := make(map[string]int64)
	for at, l := range m.logs {
		if at.log == of && len(l.events) > 0 {
			heads[at.tenant] = int64(len(l.events))
		}
	}
	return heads, nil
}

// ReadLog is eventstore.Store.ReadLog.
func (m *Memory) ReadLog(
	ctx context.Context, tenant string, of eventstore.Log, after int64, types []string, limit int,
) ([]eventstore.Event, error) {
	if err := check(ctx, of); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("%w: a limit of %d events", eventstore.ErrMalformed, limit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log(tenant, of).after(after, types, limit), nil
}

// ReadAfter is eventstore.Store.ReadAfter.
func (m *Memory) ReadAfter(
	ctx context.Context, of eventstore.Log, cursors []eventstore.Cursor, types []string, limit int,
) ([]eventstore.Page, error) {
	if err := check(ctx, of); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("%w: a limit of %d events", eventstore.ErrMalformed, limit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var pages []eventstore.Page
	for _, c := range cursors {
		l := m.log(c.Tenant, of)
		page := eventstore.Page{Tenant: c.Tenant, Events: l.after(c.After, types, limit), Through: int64(len(l.events))}
		if len(page.Events) == limit {
			page.Through = page.Events[limit-1].Position
		}
		if page.Through > c.After {
			pages = append(pages, page)
		}
	}
	return pages, nil
}

func (l *log) after(position int64, types []string, limit int) []eventstore.Event {
	var events []eventstore.Event
	for _, e := range l.events[min(max(position, 0), int64(len(l.events))):] {
		if len(events) == limit {
			break
		}
		if wanted(types, e) {
			events = append(events, copied(e))
		}
	}
	return events
}

// beyond tells what lies behind a last revision or position; 0 is none.
func beyond(number, last int64) bool { return last > 0 && number > last }

func (m *Memory) stream(tenant string, of eventstore.Log, s eventstore.Stream) []eventstore.Event {
	l := m.log(tenant, of)
	var events []eventstore.Event
	for _, index := range l.streams[s] {
		events = append(events, copied(l.events[index]))
	}
	return events
}

func check(ctx context.Context, of eventstore.Log) error {
	if of != eventstore.Lifecycle && of != eventstore.Inference {
		return fmt.Errorf("%w: log %q", eventstore.ErrMalformed, of)
	}
	return ctx.Err()
}
