package eventstoretest

import (
	"context"
	"iter"
	"slices"
	"time"

	"phantom/eventstore"
)

// snapshotsOf is a stream and a fingerprint.
type snapshotsOf struct {
	stream      eventstore.Stream
	fingerprint string
}

// Fetch is eventstore.Store.Fetch.
func (m *Memory) Fetch(
	ctx context.Context, tenant string, of eventstore.Log, wants []eventstore.Want, commandID string,
) ([]eventstore.History, *eventstore.CommandRecord, error) {
	if err := check(ctx, of); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fetched := make([]eventstore.History, len(wants))
	for i, want := range wants {
		fetched[i] = m.history(tenant, of, want)
	}
	known, found := m.commands[commandKey{tenant, commandID}]
	if !found {
		return fetched, nil, nil
	}
	return fetched, &known, nil
}

func (m *Memory) history(tenant string, of eventstore.Log, want eventstore.Want) eventstore.History {
	var h eventstore.History
	for _, snap := range m.log(tenant, of).snapshots[snapshotsOf{want.Stream, want.Fingerprint}] {
		if !beyond(snap.Revision, want.To) && !beyond(snap.Position, want.Through) {
			h.Snapshot = &snap
		}
	}
	for _, e := range m.stream(tenant, of, want.Stream) {
		covered := h.Snapshot != nil && e.AggregateVersion <= h.Snapshot.Revision
		if !covered && !beyond(e.AggregateVersion, want.To) && !beyond(e.Position, want.Through) {
			h.Events = append(h.Events, e)
		}
	}
	return h
}

// SaveSnapshot is eventstore.Store.SaveSnapshot.
func (m *Memory) SaveSnapshot(
	ctx context.Context, tenant string, of eventstore.Log, snap eventstore.Snapshot, keep eventstore.Keep,
) error {
	if err := eventstore.ValidateSnapshot(tenant, of, snap, keep); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l, key := m.log(tenant, of), snapshotsOf{snap.Stream, snap.Fingerprint}
	at := l.streams[snap.Stream]
	stored := l.snapshots[key]
	same := func(s eventstore.Snapshot) bool { return s.Revision == snap.Revision }
	if snap.Revision <= int64(len(at)) && int64(at[snap.Revision-1])+1 == snap.Position && !slices.ContainsFunc(stored, same) {
		snap.State = slices.Clone(snap.State)
		stored = append(stored, snap)
		slices.SortFunc(stored, func(a, b eventstore.Snapshot) int { return int(a.Revision - b.Revision) })
	}
	var revisions []int64
	for _, s := range stored {
		revisions = append(revisions, s.Revision)
	}
	drop := keep.Drop(revisions)
	l.snapshots[key] = slices.DeleteFunc(stored, func(s eventstore.Snapshot) bool { return slices.Contains(drop, s.Revision) })
	return nil
}

// PositionAt is eventstore.Store.PositionAt.
func (m *Memory) PositionAt(ctx context.Context, tenant string, of eventstore.Log, at time.Time) (int64, error) {
	if err := check(ctx, of); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); !at.Before(now) {
		return 0, &eventstore.Future{At: at, Now: now.UTC()}
	}
	var position int64
	for _, e := range m.log(tenant, of).events {
		if !e.RecordedAt.After(at) {
			position = e.Position
		}
	}
	return position, nil
}

// LoadAt is eventstore.Store.LoadAt.
func (m *Memory) LoadAt(
	ctx context.Context, tenant string, of eventstore.Log, stream eventstore.Stream, r eventstore.Range, at time.Time,
) ([]eventstore.Event, int64, error) {
	position, err := m.PositionAt(ctx, tenant, of, at)
	if err != nil || position == 0 {
		return nil, 0, err
	}
	if r.Through == 0 || r.Through > position {
		r.Through = position
	}
	events, err := m.Load(ctx, tenant, of, stream, r)
	return events, position, err
}

// Walk is eventstore.Store.Walk.
func (m *Memory) Walk(
	ctx context.Context, tenant string, of eventstore.Log, stream eventstore.Stream, r eventstore.Range,
) iter.Seq2[eventstore.Event, error] {
	return func(yield func(eventstore.Event, error) bool) {
		events, err := m.Load(ctx, tenant, of, stream, r)
		each(events, err, yield)
	}
}

// WalkLog is eventstore.Store.WalkLog.
func (m *Memory) WalkLog(ctx context.Context, tenant string, of eventstore.Log, span eventstore.Span) iter.Seq2[eventstore.Event, error] {
	return func(yield func(eventstore.Event, error) bool) {
		const all = 1 << 30
		events, err := m.ReadLog(ctx, tenant, of, span.After, span.Types, all)
		events = slices.DeleteFunc(events, func(e eventstore.Event) bool { return beyond(e.Position, span.Through) })
		each(events, err, yield)
	}
}

func each(events []eventstore.Event, err error, yield func(eventstore.Event, error) bool) {
	if err != nil {
		yield(eventstore.Event{}, err)
		return
	}
	for _, e := range events {
		if !yield(e, nil) {
			return
		}
	}
}
