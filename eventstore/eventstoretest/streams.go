package eventstoretest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

func severalStreams(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("b", eventstore.NoStream(), Batch(1)...))
	one, two := Batch(2), Batch(1)
	done, err := b.append(t,
		to("a", eventstore.NoStream(), one...), to("guard", eventstore.NoStream()), to("b", eventstore.Exact(1), two...))
	require.NoError(t, err)
	require.Len(t, done, 3)
	require.Equal(t, eventstore.Appended{Stream: on("a"), Revision: 2, Position: 3, RecordedAt: done[0].RecordedAt}, done[0])
	require.Equal(t, eventstore.Appended{Stream: on("guard")}, done[1])
	require.Equal(t, eventstore.Appended{Stream: on("b"), Revision: 2, Position: 4, RecordedAt: done[0].RecordedAt}, done[2])
	events, err := b.ReadLog(t.Context(), b.tenant, eventstore.Lifecycle, 1, nil, 10)
	require.NoError(t, err)
	require.Equal(t, given(one, two), idsOf(events))
}

// severalStreamsAgain: a call is repeated as a whole or not at all.
func severalStreamsAgain(t *testing.T, b bench) {
	t.Helper()
	one, two := Batch(2), Batch(1)
	call := []eventstore.Append{
		to("a", eventstore.NoStream(), one...), to("b", eventstore.NoStream(), two...), to("guard", eventstore.NoStream()),
	}
	first, err := b.append(t, call...)
	require.NoError(t, err)
	b.must(t, to("guard", eventstore.NoStream(), Batch(2)...))
	again, err := b.append(t, call...)
	require.NoError(t, err)
	first[0].Repeated, first[1].Repeated = true, true
	require.Equal(t, first[:2], again[:2])
	require.Equal(t, eventstore.Appended{Stream: on("guard"), Revision: 2, Position: 5}, again[2], "a guard tells where it is now")

	_, err = b.append(t, to("a", eventstore.Any(), one...), to("b", eventstore.Any(), Batch(1)...))
	requireConflict(t, err, eventstore.Conflict{Stream: on("a"), Expected: eventstore.Any(), Actual: 2})
	b.must(t, to("a", eventstore.Exact(2), Batch(3)...))
	_, err = b.append(t, to("a", eventstore.Any(), one...), to("b", eventstore.Any(), Batch(1)...))
	requireConflict(t, err, eventstore.Conflict{Stream: on("a"), Expected: eventstore.Any(), Actual: 5})
	_, err = b.append(t, to("c", eventstore.Any(), Batch(1)...), to("b", eventstore.Any(), two[0], Batch(1)[0]))
	requireConflict(t, err, eventstore.Conflict{Stream: on("b"), Expected: eventstore.Any(), Actual: 1})
	require.EqualValues(t, 8, b.head(t))
}

func guards(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("model", eventstore.NoStream(), Batch(2)...))
	done, err := b.append(t, to("model", eventstore.Exact(2)), to("job", eventstore.NoStream(), Batch(1)...))
	require.NoError(t, err)
	require.Equal(t, eventstore.Appended{Stream: on("model"), Revision: 2, Position: 2}, done[0])
	require.EqualValues(t, 3, done[1].Position)

	_, err = b.append(t, to("model", eventstore.Exact(1)), to("job", eventstore.Exact(1), Batch(1)...))
	requireConflict(t, err, eventstore.Conflict{Stream: on("model"), Expected: eventstore.Exact(1), Actual: 2})
	_, err = b.append(t, to("job", eventstore.Exact(1), Batch(1)...), to("nothing", eventstore.Exists()))
	requireConflict(t, err, eventstore.Conflict{Stream: on("nothing"), Expected: eventstore.Exists()})
	require.EqualValues(t, 3, b.head(t))
}

func fetch(t *testing.T, b bench) {
	t.Helper()
	one, two := Batch(2), Batch(3)
	command := &eventstore.CommandRecord{ID: "c", RequestHash: []byte{1, 2}, Result: []byte(` {"a": 1}`)}
	_, err := b.Append(t.Context(), b.tenant, eventstore.Lifecycle,
		[]eventstore.Append{to("a", eventstore.Any(), one...), to("b", eventstore.Any(), two...)}, command)
	require.NoError(t, err)
	events, known, err := b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, eventstore.Whole(on("b"), on("none"), on("a")), "c")
	require.NoError(t, err)
	require.Len(t, events, 3)
	require.Equal(t, given(two), idsOf(events[0].Events))
	require.Empty(t, events[1].Events)
	require.Equal(t, given(one), idsOf(events[2].Events))
	require.Equal(t, command, known)

	for _, id := range []string{"", "other"} {
		events, known, err = b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, eventstore.Whole(on("a")), id)
		require.NoError(t, err)
		require.Len(t, events[0].Events, 2)
		require.Nil(t, known)
	}
	_, known, err = b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, nil, "c")
	require.NoError(t, err)
	require.Equal(t, command, known)
}

func isolation(t *testing.T, b bench) {
	t.Helper()
	mine, theirs := Batch(2), Batch(3)
	other := bench{Store: b.Store, tenant: b.tenant + "-other"}
	b.must(t, to("s", eventstore.NoStream(), mine...))
	require.EqualValues(t, 3, other.must(t, to("s", eventstore.NoStream(), theirs...)).Position, "each has positions of its own")
	require.Equal(t, given(mine), b.ids(t, on("s")))
	require.Equal(t, given(theirs), other.ids(t, on("s")))
	require.EqualValues(t, 2, b.head(t))

	events, err := b.Load(t.Context(), b.tenant, eventstore.Inference, on("s"), eventstore.Range{})
	require.NoError(t, err)
	require.Empty(t, events, "each log has streams of its own")
	head, err := b.Head(t.Context(), b.tenant, eventstore.Inference)
	require.NoError(t, err)
	require.Zero(t, head)
	heads, err := b.Heads(t.Context(), eventstore.Lifecycle)
	require.NoError(t, err)
	require.EqualValues(t, 2, heads[b.tenant])
	require.EqualValues(t, 3, heads[other.tenant])
	heads, err = b.Heads(t.Context(), eventstore.Inference)
	require.NoError(t, err)
	require.NotContains(t, heads, b.tenant)
}
