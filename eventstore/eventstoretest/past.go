package eventstoretest

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// asOf: a stream as of a revision or a position of the log is what it was then, whatever came later.
func asOf(t *testing.T, b bench) {
	t.Helper()
	a, c := Batch(4), Batch(2)
	b.must(t, to("a", eventstore.NoStream(), a[:2]...)) // positions 1, 2
	b.must(t, to("c", eventstore.NoStream(), c...))     // 3, 4
	b.must(t, to("a", eventstore.Exact(2), a[2:]...))   // 5, 6
	cases := []struct {
		r    eventstore.Range
		want int
	}{
		{eventstore.Range{To: 1}, 1},
		{eventstore.Range{Through: 1}, 1},
		{eventstore.Range{Through: 2}, 2},
		{eventstore.Range{Through: 4}, 2},
		{eventstore.Range{Through: 5}, 3},
		{eventstore.Range{Through: 6}, 4},
		{eventstore.Range{Through: 99}, 4},
		{eventstore.Range{To: 1, Through: 5}, 1},
		{eventstore.Range{To: 4, Through: 5}, 3},
	}
	for _, of := range cases {
		events, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("a"), of.r)
		require.NoError(t, err)
		require.Equal(t, given(a[:of.want]), idsOf(events), "%+v", of.r)
		fetched, _, err := b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle,
			[]eventstore.Want{{Stream: on("a"), To: of.r.To, Through: of.r.Through}}, "")
		require.NoError(t, err)
		require.Equal(t, given(a[:of.want]), idsOf(fetched[0].Events), "%+v", of.r)
	}
	events, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("a"), eventstore.Range{Through: 5, Backward: true, Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []int64{5, 2}, positions(events))
}

func asOfAnInstant(t *testing.T, b bench) {
	t.Helper()
	at := func(when time.Time) int64 {
		position, err := b.PositionAt(t.Context(), b.tenant, eventstore.Lifecycle, when)
		require.NoError(t, err)
		return position
	}
	require.Zero(t, at(time.Now().Add(-time.Second)), "a tenant without events")
	var recorded []time.Time
	for range 9 {
		recorded = append(recorded, b.must(t, to("s", eventstore.Any(), Batch(2)...)).RecordedAt)
	}
	by := func(when time.Time) (position int64) {
		for _, r := range recorded {
			if !r.After(when) {
				position += 2
			}
		}
		return position
	}
	for i, when := range recorded {
		before := when.Add(-time.Microsecond)
		require.Equal(t, by(before), at(before), "just before append %d", i)
		require.Equal(t, by(when), at(when), "at append %d", i)
		for _, r := range []eventstore.Range{{}, {Backward: true}, {To: 3}, {Through: 5}} {
			events, position, err := b.LoadAt(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), r, when)
			require.NoError(t, err)
			require.Equal(t, by(when), position)
			if r.Through == 0 {
				r.Through = position
			}
			again, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), eventstore.Range{
				To: r.To, Backward: r.Backward, Through: min(r.Through, position),
			})
			require.NoError(t, err)
			require.Equal(t, again, events, "the position gives the same answer again")
		}
	}
	events, position, err := b.LoadAt(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), eventstore.Range{}, recorded[0].Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, position)
	require.Empty(t, events)

	_, err = b.PositionAt(t.Context(), b.tenant, eventstore.Lifecycle, time.Now().Add(time.Hour))
	var future *eventstore.Future
	require.ErrorAs(t, err, &future)
	require.ErrorIs(t, err, eventstore.ErrFuture)
	require.True(t, future.At.After(future.Now))
	_, _, err = b.LoadAt(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), eventstore.Range{}, time.Now().Add(time.Hour))
	require.ErrorIs(t, err, eventstore.ErrFuture)
	_, err = b.PositionAt(t.Context(), b.tenant, "other", recorded[0])
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}

// collected takes a walk to its end, or to the n-th event.
func collected(walk iter.Seq2[eventstore.Event, error], n int) (events []eventstore.Event, err error) {
	for e, err := range walk {
		if err != nil {
			return events, err
		}
		if events = append(events, e); len(events) == n {
			break
		}
	}
	return events, nil
}

func walk(t *testing.T, b bench) {
	t.Helper()
	const most = 1 << 30
	for range 3 {
		b.must(t, to("s", eventstore.Any(), Batch(500)...)) // three pages, and an end that is the end of one
	}
	ranges := []eventstore.Range{
		{},
		{From: 2},
		{To: 1100},
		{From: 400, To: 1201},
		{Through: 1499},
		{Limit: 1},
		{Limit: 500},
		{Limit: 501},
		{From: 1500},
		{From: 1501},
		{Backward: true},
		{Backward: true, Limit: 501},
		{Backward: true, From: 3, To: 1000},
		{Backward: true, From: 1, To: 500},
	}
	for _, r := range ranges {
		want, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), r)
		require.NoError(t, err)
		events, err := collected(b.Walk(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), r), most)
		require.NoError(t, err)
		require.Equal(t, idsOf(want), idsOf(events), "%+v", r)
	}
	none, err := collected(b.Walk(t.Context(), b.tenant, eventstore.Lifecycle, on("none"), eventstore.Range{}), most)
	require.NoError(t, err)
	require.Empty(t, none)
	few, err := collected(b.Walk(t.Context(), b.tenant, eventstore.Lifecycle, on("s"), eventstore.Range{}), 7)
	require.NoError(t, err)
	require.Len(t, few, 7)

	_, err = collected(b.Walk(t.Context(), b.tenant, "other", on("s"), eventstore.Range{}), most)
	require.ErrorIs(t, err, eventstore.ErrMalformed)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = collected(b.Walk(over, b.tenant, eventstore.Lifecycle, on("s"), eventstore.Range{}), most)
	require.ErrorIs(t, err, context.Canceled)
}

func walkLog(t *testing.T, b bench) {
	t.Helper()
	const most = 1 << 30
	b.must(t, to("a", eventstore.Any(), typed("A", "B")...))
	for range 2 {
		b.must(t, to("b", eventstore.Any(), Batch(500)...))
	}
	b.must(t, to("a", eventstore.Any(), typed("B", "A")...)) // 1003, 1004
	spans := map[*eventstore.Span]int{
		{}: 1004, {After: 1}: 1003, {Through: 2}: 2, {After: 400, Through: 1003}: 603, {After: 1004}: 0, {After: 2000}: 0,
		{After: 2, Through: 1002}: 1000, {Types: []string{"A"}}: 2, {Types: []string{"A", "B"}, Through: 1003}: 3, {Types: []string{"Z"}}: 0,
	}
	for span, want := range spans {
		events, err := collected(b.WalkLog(t.Context(), b.tenant, eventstore.Lifecycle, *span), most)
		require.NoError(t, err)
		require.Len(t, events, want, "%+v", span)
		last := span.After
		for _, e := range events {
			require.Greater(t, e.Position, last)
			last = e.Position
		}
	}
	few, err := collected(b.WalkLog(t.Context(), b.tenant, eventstore.Lifecycle, eventstore.Span{}), 3)
	require.NoError(t, err)
	require.Len(t, few, 3)
	_, err = collected(b.WalkLog(t.Context(), b.tenant, "other", eventstore.Span{}), most)
	require.ErrorIs(t, err, eventstore.ErrMalformed)

	// A walk that appends as it goes ends where the log ended when it began.
	appended := 0
	events := 0
	for _, err := range b.WalkLog(t.Context(), b.tenant, eventstore.Lifecycle, eventstore.Span{After: 1000}) {
		require.NoError(t, err)
		events++
		if appended < 2000 {
			b.must(t, to("b", eventstore.Any(), Batch(500)...))
			appended += 500
		}
	}
	require.Equal(t, 4, events)
}
