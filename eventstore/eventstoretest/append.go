package eventstoretest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

func expectations(t *testing.T, b bench) {
	t.Helper()
	cases := []struct {
		stored int // events that the stream has
		expect eventstore.Expectation
		holds  bool
	}{
		{0, eventstore.Any(), true},
		{0, eventstore.Expectation{}, true},
		{0, eventstore.NoStream(), true},
		{0, eventstore.Exact(0), true},
		{0, eventstore.Exists(), false},
		{0, eventstore.Exact(1), false},
		{2, eventstore.Any(), true},
		{2, eventstore.Exists(), true},
		{2, eventstore.Exact(2), true},
		{2, eventstore.NoStream(), false},
		{2, eventstore.Exact(0), false},
		{2, eventstore.Exact(1), false},
		{2, eventstore.Exact(3), false},
	}
	for i, c := range cases {
		for _, n := range []int{0, 1, 3} {
			id := fmt.Sprintf("s%d-%d", i, n)
			if c.stored > 0 {
				b.must(t, to(id, eventstore.NoStream(), Batch(c.stored)...))
			}
			done, err := b.append(t, to(id, c.expect, Batch(n)...))
			if !c.holds {
				requireConflict(t, err, eventstore.Conflict{Stream: on(id), Expected: c.expect, Actual: int64(c.stored)})
				continue
			}
			require.NoError(t, err, "%d stored, expect %s, %d given", c.stored, c.expect, n)
			require.Equal(t, int64(c.stored+n), done[0].Revision)
			require.False(t, done[0].Repeated)
			require.Equal(t, n == 0, done[0].RecordedAt.IsZero())
			require.Equal(t, c.stored+n == 0, done[0].Position == 0)
		}
	}
}

func conflictLeavesNothing(t *testing.T, b bench) {
	t.Helper()
	first := Batch(2)
	b.must(t, to("a", eventstore.NoStream(), first...))
	_, err := b.append(t, to("b", eventstore.Any(), Batch(3)...), to("a", eventstore.Exact(1), Batch(1)...))
	requireConflict(t, err, eventstore.Conflict{Stream: on("a"), Expected: eventstore.Exact(1), Actual: 2})
	require.Equal(t, given(first), b.ids(t, on("a")))
	require.Empty(t, b.ids(t, on("b")))
	require.EqualValues(t, 2, b.head(t))
	require.EqualValues(t, 3, b.must(t, to("b", eventstore.NoStream(), Batch(1)...)).Position, "no position was burnt")
}

func envelopeIsKept(t *testing.T, b bench) {
	t.Helper()
	zone := time.FixedZone("elsewhere", 5*60*60)
	event := eventstore.NewEvent{
		ID: uuid.New(), Type: "Größe", Version: 7,
		Data:       json.RawMessage(" {\"z\": 1.50, \"a\":\"\\u00e4\\u0000\", \"a\": 1e400 }\n"),
		Metadata:   json.RawMessage(`{"actor" : {"subject":"x"}}`),
		OccurredAt: time.Date(2026, 11, 23, 1, 2, 3, 456789999, zone), CausationID: "cause", CorrelationID: "trail",
	}
	bare := Batch(1)[0]
	done := b.must(t, to("a/b/ü", eventstore.NoStream(), event, bare))
	events, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("a/b/ü"), eventstore.Range{})
	require.NoError(t, err)
	require.Len(t, events, 2)
	cause, trail := "cause", "trail"
	digest := eventstore.Digest(b.tenant, on("a/b/ü"), event)
	require.Equal(t, eventstore.Event{
		Position: 1, EventID: event.ID, TenantID: b.tenant, AggregateType: "Thing", AggregateID: "a/b/ü", AggregateVersion: 1,
		EventType: "Größe", EventVersion: 7, EventData: event.Data, Metadata: event.Metadata,
		OccurredAt: time.Date(2026, 11, 22, 20, 2, 3, 456789000, time.UTC), RecordedAt: done.RecordedAt,
		CausationID: &cause, CorrelationID: &trail, Digest: digest[:],
	}, events[0])
	require.Nil(t, events[1].CausationID)
	require.Nil(t, events[1].CorrelationID)
	require.JSONEq(t, `{}`, string(events[1].Metadata))
	require.NoError(t, events[1].Verify())
	require.WithinDuration(t, time.Now(), done.RecordedAt, time.Minute)
}

func malformedAppends(t *testing.T, b bench) {
	t.Helper()
	change := func(f func(*eventstore.NewEvent)) []eventstore.Append {
		e := Batch(1)[0]
		f(&e)
		return []eventstore.Append{to("s", eventstore.Any(), e)}
	}
	twice := Batch(1)[0]
	cases := map[string][]eventstore.Append{
		"no id":               change(func(e *eventstore.NewEvent) { e.ID = uuid.Nil }),
		"no type":             change(func(e *eventstore.NewEvent) { e.Type = "" }),
		"NUL in the type":     change(func(e *eventstore.NewEvent) { e.Type = "a\x00b" }),
		"no version":          change(func(e *eventstore.NewEvent) { e.Version = 0 }),
		"no data":             change(func(e *eventstore.NewEvent) { e.Data = nil }),
		"data is no JSON":     change(func(e *eventstore.NewEvent) { e.Data = json.RawMessage(`{`) }),
		"data is no UTF-8":    change(func(e *eventstore.NewEvent) { e.Data = json.RawMessage("\"\xff\"") }),
		"metadata is no JSON": change(func(e *eventstore.NewEvent) { e.Metadata = json.RawMessage(`x`) }),
		"no time":             change(func(e *eventstore.NewEvent) { e.OccurredAt = time.Time{} }),
		"long correlation":    change(func(e *eventstore.NewEvent) { e.CorrelationID = strings.Repeat("x", 2000) }),
		"no stream":           {{Stream: eventstore.Stream{Type: "Thing"}, Events: Batch(1)}},
		"negative revision":   {to("s", eventstore.Exact(-1))},
		"stream twice":        {to("s", eventstore.Any()), to("s", eventstore.Any(), Batch(1)...)},
		"id twice":            {to("s", eventstore.Any(), twice, twice)},
		"id in two streams":   {to("s", eventstore.Any(), twice), to("r", eventstore.Any(), twice)},
		"skip with exact":     {{Stream: on("s"), Expect: eventstore.Exact(1), SkipStored: true, Events: Batch(1)}},
		"skip beside strict":  {{Stream: on("s"), SkipStored: true, Events: Batch(1)}, to("r", eventstore.Any(), Batch(1)...)},
		"nothing":             nil,
	}
	for name, appends := range cases {
		_, err := b.append(t, appends...)
		require.ErrorIs(t, err, eventstore.ErrMalformed, name)
	}
	_, err := b.Append(t.Context(), b.tenant, "other", []eventstore.Append{to("s", eventstore.Any())}, nil)
	require.ErrorIs(t, err, eventstore.ErrMalformed)
	_, err = b.Append(t.Context(), "", eventstore.Lifecycle, []eventstore.Append{to("s", eventstore.Any())}, nil)
	require.ErrorIs(t, err, eventstore.ErrMalformed)
	require.Zero(t, b.head(t))
}

// order: revisions and positions are dense, in the order given, and recorded_at never goes back.
func order(t *testing.T, b bench) {
	t.Helper()
	var want []uuid.UUID
	for i := range 10 {
		one, two := Batch(i%3+1), Batch(2)
		done, err := b.append(t, to("one", eventstore.Any(), one...), to(fmt.Sprintf("two%d", i%2), eventstore.Any(), two...))
		require.NoError(t, err)
		want = append(want, given(one, two)...)
		require.EqualValues(t, len(want)-2, done[0].Position)
		require.EqualValues(t, len(want), done[1].Position)
	}
	events, err := b.ReadLog(t.Context(), b.tenant, eventstore.Lifecycle, 0, nil, 1000)
	require.NoError(t, err)
	require.Equal(t, want, idsOf(events))
	revisions := make(map[string]int64)
	for i, e := range events {
		require.EqualValues(t, i+1, e.Position)
		revisions[e.AggregateID]++
		require.Equal(t, revisions[e.AggregateID], e.AggregateVersion)
		if i > 0 {
			require.False(t, e.RecordedAt.Before(events[i-1].RecordedAt))
		}
	}
}

func ranges(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("other", eventstore.Any(), Batch(3)...))
	b.must(t, to("s", eventstore.NoStream(), Batch(5)...))
	b.must(t, to("s", eventstore.Exact(5), Batch(5)...))
	cases := []struct {
		in   eventstore.Range
		want []int64
	}{
		{eventstore.Range{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{eventstore.Range{From: 4, To: 6}, []int64{4, 5, 6}},
		{eventstore.Range{From: 8}, []int64{8, 9, 10}},
		{eventstore.Range{To: 2}, []int64{1, 2}},
		{eventstore.Range{Limit: 3}, []int64{1, 2, 3}},
		{eventstore.Range{From: 9, To: 20, Limit: 3}, []int64{9, 10}},
		{eventstore.Range{Backward: true, Limit: 2}, []int64{10, 9}},
		{eventstore.Range{From: 3, To: 7, Backward: true, Limit: 2}, []int64{7, 6}},
		{eventstore.Range{From: 11}, []int64{}},
		{eventstore.Range{From: 6, To: 5}, []int64{}},
	}
	for _, c := range cases {
		events, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), c.in)
		require.NoError(t, err)
		got := []int64{}
		for _, e := range events {
			got = append(got, e.AggregateVersion)
		}
		require.Equal(t, c.want, got, "%+v", c.in)
	}
}

func largeAppends(t *testing.T, b bench) {
	t.Helper()
	_, err := b.append(t, to("s", eventstore.Any(), Batch(eventstore.MaxBatchEvents)...))
	require.NoError(t, err)
	_, err = b.append(t, to("s", eventstore.Any(), Batch(eventstore.MaxBatchEvents)...), to("r", eventstore.Any(), Batch(1)...))
	requireTooLarge(t, err, eventstore.MaxBatchEvents+1, eventstore.MaxBatchEvents)

	event := Batch(1)[0]
	event.Metadata = json.RawMessage(`{}`)
	event.Data = json.RawMessage(`"` + strings.Repeat("x", eventstore.MaxEventBytes-4) + `"`)
	_, err = b.append(t, to("s", eventstore.Any(), event))
	require.NoError(t, err)
	event = Batch(1)[0]
	event.Metadata = json.RawMessage(`{}`)
	event.Data = json.RawMessage(`"` + strings.Repeat("x", eventstore.MaxEventBytes-3) + `"`)
	_, err = b.append(t, to("s", eventstore.Any(), event))
	requireTooLarge(t, err, eventstore.MaxEventBytes+1, eventstore.MaxEventBytes)
	require.EqualValues(t, eventstore.MaxBatchEvents+1, b.head(t))
}

func requireTooLarge(t *testing.T, err error, actual, limit int) {
	t.Helper()
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	var large *eventstore.TooLarge
	require.ErrorAs(t, err, &large)
	require.Equal(t, actual, large.Actual)
	require.Equal(t, limit, large.Limit)
}
