package eventstoretest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// typed makes events of types in turn.
func typed(types ...string) []eventstore.NewEvent {
	events := Batch(len(types))
	for i := range events {
		events[i].Type = types[i]
	}
	return events
}

func positions(events []eventstore.Event) []int64 {
	all := []int64{}
	for _, e := range events {
		all = append(all, e.Position)
	}
	return all
}

func readLog(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("s", eventstore.Any(), typed("A", "B", "A", "C", "A", "B")...))
	cases := []struct {
		after int64
		types []string
		limit int
		want  []int64
	}{
		{0, nil, 100, []int64{1, 2, 3, 4, 5, 6}},
		{0, nil, 2, []int64{1, 2}},
		{4, nil, 100, []int64{5, 6}},
		{6, nil, 100, []int64{}},
		{99, nil, 100, []int64{}},
		{0, []string{"A"}, 2, []int64{1, 3}},
		{1, []string{"B", "C"}, 10, []int64{2, 4, 6}},
		{0, []string{"Z"}, 10, []int64{}},
	}
	for _, c := range cases {
		events, err := b.ReadLog(t.Context(), b.tenant, eventstore.Lifecycle, c.after, c.types, c.limit)
		require.NoError(t, err)
		require.Equal(t, c.want, positions(events), "%+v", c)
	}
	_, err := b.ReadLog(t.Context(), b.tenant, eventstore.Lifecycle, 0, nil, 0)
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}

func readAfter(t *testing.T, b bench) {
	t.Helper()
	other := bench{Store: b.Store, tenant: b.tenant + "-other"}
	b.must(t, to("s", eventstore.Any(), Batch(5)...))
	other.must(t, to("s", eventstore.Any(), Batch(2)...))
	read := func(limit int, cursors ...eventstore.Cursor) []eventstore.Page {
		pages, err := b.ReadAfter(t.Context(), eventstore.Lifecycle, cursors, nil, limit)
		require.NoError(t, err)
		return pages
	}
	pages := read(3, eventstore.Cursor{Tenant: other.tenant, After: 1}, eventstore.Cursor{Tenant: b.tenant}, eventstore.Cursor{Tenant: "nobody"})
	require.Len(t, pages, 2, "a tenant with nothing new has no page")
	require.Equal(t, other.tenant, pages[0].Tenant)
	require.Equal(t, []int64{2}, positions(pages[0].Events))
	require.EqualValues(t, 2, pages[0].Through)
	require.Equal(t, b.tenant, pages[1].Tenant)
	require.Equal(t, []int64{1, 2, 3}, positions(pages[1].Events), "the limit is each tenant's own")
	require.EqualValues(t, 3, pages[1].Through)

	pages = read(10, eventstore.Cursor{Tenant: b.tenant, After: 3})
	require.Equal(t, []int64{4, 5}, positions(pages[0].Events))
	require.EqualValues(t, 5, pages[0].Through)
	require.Empty(t, read(10, eventstore.Cursor{Tenant: b.tenant, After: 5}, eventstore.Cursor{Tenant: other.tenant, After: 2}))
	require.Empty(t, read(10))
	_, err := b.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: b.tenant}}, nil, 0)
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}

func readAfterWithTypes(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("s", eventstore.Any(), typed("A", "B", "A", "C", "C")...))
	read := func(after int64, limit int, types ...string) eventstore.Page {
		pages, err := b.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: b.tenant, After: after}}, types, limit)
		require.NoError(t, err)
		require.Len(t, pages, 1)
		return pages[0]
	}
	page := read(0, 10, "A")
	require.Equal(t, []int64{1, 3}, positions(page.Events))
	require.EqualValues(t, 5, page.Through, "the cursor passes what was filtered")
	page = read(0, 1, "A", "C")
	require.Equal(t, []int64{1}, positions(page.Events))
	require.EqualValues(t, 1, page.Through, "a full page ends at its last event")
	page = read(3, 10, "B")
	require.Empty(t, page.Events)
	require.EqualValues(t, 5, page.Through)
}

// followWhileAppending: a follower that reads while many append sees every event once, in order.
func followWhileAppending(t *testing.T, b bench) {
	t.Helper()
	const writers, calls = 6, 20
	var all sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		all.Go(func() {
			for i := range calls {
				_, err := b.append(t, to(fmt.Sprintf("s%d", (w+i)%4), eventstore.Any(), Batch(i%3+1)...))
				if err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(done)
	}()
	seen := make(map[uuid.UUID]struct{})
	var cursor int64
	for last := false; ; {
		pages, err := b.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: b.tenant, After: cursor}}, nil, 7)
		require.NoError(t, err)
		for _, page := range pages {
			for i, e := range page.Events {
				require.Equal(t, cursor+int64(i)+1, e.Position)
				seen[e.EventID] = struct{}{}
			}
			cursor = page.Through
		}
		if len(pages) == 0 && last {
			break
		}
		select {
		case <-done:
			last = true
		default:
		}
	}
	require.EqualValues(t, len(seen), b.head(t))
	require.EqualValues(t, len(seen), cursor)
}
