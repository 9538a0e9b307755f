package eventstoretest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// start is a day that the cases count seconds from.
func start() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }

// happened makes an event of a type some seconds after the start.
func happened(name string, seconds int) eventstore.NewEvent {
	e := Batch(1)[0]
	e.Type, e.OccurredAt = name, start().Add(time.Duration(seconds)*time.Second)
	return e
}

// paged reads all pages and returns the positions of their events.
func (b bench) paged(t *testing.T, o eventstore.Occurred) []int64 {
	t.Helper()
	all := []int64{}
	for {
		page, err := b.LoadOccurred(t.Context(), b.tenant, eventstore.Lifecycle, o)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Events), o.Limit)
		all = append(all, positions(page.Events)...)
		if page.Next == nil {
			return all
		}
		require.Len(t, page.Events, o.Limit)
		o.Behind = page.Next
	}
}

func occurred(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("s", eventstore.Any(), happened("A", 5), happened("B", 1), happened("A", 3), happened("C", 2), happened("A", 1), happened("B", 9)))
	at := func(seconds int) time.Time { return start().Add(time.Duration(seconds) * time.Second) }
	cases := []struct {
		o    eventstore.Occurred
		want []int64 // by time, then position
	}{
		{eventstore.Occurred{Types: []string{"A"}}, []int64{5, 3, 1}},
		{eventstore.Occurred{Types: []string{"A", "B", "A"}}, []int64{2, 5, 3, 1, 6}},
		{eventstore.Occurred{Types: []string{"A", "B"}, From: at(3)}, []int64{3, 1, 6}},
		{eventstore.Occurred{Types: []string{"A", "B"}, To: at(3)}, []int64{2, 5}},
		{eventstore.Occurred{Types: []string{"A", "B"}, From: at(1), To: at(9)}, []int64{2, 5, 3, 1}},
		{eventstore.Occurred{Types: []string{"A", "B"}, From: at(2), To: at(2)}, []int64{}},
		{eventstore.Occurred{Types: []string{"Z"}}, []int64{}},
	}
	for _, c := range cases {
		for limit := 1; limit <= 6; limit++ {
			c.o.Limit, c.o.Backward = limit, false
			require.Equal(t, c.want, b.paged(t, c.o), "%+v", c.o)
			c.o.Backward = true
			back := b.paged(t, c.o)
			slices.Reverse(back)
			require.Equal(t, c.want, back, "%+v", c.o)
		}
	}
	for _, bad := range []eventstore.Occurred{{Limit: 1}, {Types: []string{"A"}}, {Types: []string{"A"}, Limit: 501}} {
		_, err := b.LoadOccurred(t.Context(), b.tenant, eventstore.Lifecycle, bad)
		require.ErrorIs(t, err, eventstore.ErrMalformed)
	}
}

// occurredAtOnce: many events of one time are told apart by their positions, and a cursor survives what is appended
// before and behind it.
func occurredAtOnce(t *testing.T, b bench) {
	t.Helper()
	seven := func() []eventstore.NewEvent {
		events := make([]eventstore.NewEvent, 7)
		for i := range events {
			events[i] = happened("A", 4)
		}
		return events
	}
	b.must(t, to("s", eventstore.Any(), seven()...))
	for _, backward := range []bool{false, true} {
		o := eventstore.Occurred{Types: []string{"A"}, Limit: 3, Backward: backward}
		page, err := b.LoadOccurred(t.Context(), b.tenant, eventstore.Lifecycle, o)
		require.NoError(t, err)
		before := positions(page.Events)
		o.Behind = page.Next
		b.must(t, to("s", eventstore.Any(), happened("A", 1), happened("A", 9)))
		rest := b.paged(t, o)
		for _, position := range rest {
			require.NotContains(t, before, position, "shown twice")
		}
		for position := range int64(7) {
			require.Contains(t, append(before, rest...), position+1, "left out")
		}
		// From there the other way round leads back.
		o.Backward = !backward
		o.Limit = 100
		back, err := b.LoadOccurred(t.Context(), b.tenant, eventstore.Lifecycle, o)
		require.NoError(t, err)
		require.Subset(t, positions(back.Events), before[:2])
		require.NotContains(t, positions(back.Events), before[2])
	}
}

func trace(t *testing.T, b bench) {
	t.Helper()
	correlated := func(id string, n int) []eventstore.NewEvent {
		events := Batch(n)
		for i := range events {
			events[i].CorrelationID = id
		}
		return events
	}
	b.must(t, to("a", eventstore.Any(), correlated("saga", 2)...))
	b.must(t, to("b", eventstore.Any(), correlated("other", 2)...))
	b.must(t, to("b", eventstore.Any(), append(correlated("saga", 1), Batch(1)...)...))
	_, err := b.Append(t.Context(), b.tenant, eventstore.Inference, []eventstore.Append{to("c", eventstore.Any(), correlated("saga", 3)...)}, nil)
	require.NoError(t, err)
	other := bench{Store: b.Store, tenant: b.tenant + "-other"}
	other.must(t, to("a", eventstore.Any(), correlated("saga", 1)...))

	trail, err := b.Trace(t.Context(), b.tenant, "saga", eventstore.TrailPlace{})
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 5}, positions(trail.Lifecycle))
	require.Equal(t, []int64{1, 2, 3}, positions(trail.Inference))
	require.Equal(t, eventstore.TrailPlace{Lifecycle: 5, Inference: 3}, trail.Through)
	require.False(t, trail.More)
	b.must(t, to("b", eventstore.Any(), correlated("saga", 1)...))
	trail, err = b.Trace(t.Context(), b.tenant, "saga", trail.Through)
	require.NoError(t, err)
	require.Equal(t, []int64{7}, positions(trail.Lifecycle))
	require.Empty(t, trail.Inference)
	require.Equal(t, eventstore.TrailPlace{Lifecycle: 7, Inference: 3}, trail.Through)

	trail, err = b.Trace(t.Context(), b.tenant, "none", eventstore.TrailPlace{})
	require.NoError(t, err)
	require.Empty(t, append(trail.Lifecycle, trail.Inference...))
	require.Equal(t, eventstore.TrailPlace{}, trail.Through)
	_, err = b.Trace(t.Context(), b.tenant, "", eventstore.TrailPlace{})
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}
