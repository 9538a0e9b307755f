package eventstoretest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

func wholeBatchAgain(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("before", eventstore.Any(), Batch(2)...))
	batch := Batch(3)
	first := b.must(t, to("s", eventstore.NoStream(), batch...))
	want := first
	want.Repeated = true
	again := func() {
		for _, expect := range []eventstore.Expectation{
			eventstore.Any(), eventstore.NoStream(), eventstore.Exists(), eventstore.Exact(3), eventstore.Exact(5), eventstore.Exact(99),
		} {
			require.Equal(t, want, b.must(t, to("s", expect, batch...)), "expect %s", expect)
		}
	}
	again()
	later := Batch(2)
	b.must(t, to("s", eventstore.Exact(3), later...))
	again()
	require.Equal(t, given(batch, later), b.ids(t, on("s")))
	require.EqualValues(t, 7, b.head(t))
}

func partOfBatchAgain(t *testing.T, b bench) {
	t.Helper()
	batch := Batch(3)
	b.must(t, to("s", eventstore.NoStream(), batch...))
	inner := b.must(t, to("s", eventstore.NoStream(), batch[1:]...))
	require.True(t, inner.Repeated, "all present, contiguous, in order")
	require.EqualValues(t, 3, inner.Revision)
	inner = b.must(t, to("s", eventstore.NoStream(), batch[:2]...))
	require.True(t, inner.Repeated)
	require.EqualValues(t, 2, inner.Revision)
	require.EqualValues(t, 2, inner.Position)

	fresh := Batch(2)
	reversed := slices.Clone(batch)
	slices.Reverse(reversed)
	refused := map[string][]eventstore.NewEvent{
		"it overlaps the end":   {batch[2], fresh[0]},
		"it overlaps the start": {fresh[0], batch[0]},
		"one new between":       {batch[0], fresh[0], batch[1]},
		"a hole":                {batch[0], batch[2]},
		"reversed":              reversed,
	}
	for name, events := range refused {
		for _, expect := range []eventstore.Expectation{eventstore.Any(), eventstore.Exact(3)} {
			_, err := b.append(t, to("s", expect, events...))
			require.Error(t, err, name)
			requireConflict(t, err, eventstore.Conflict{Stream: on("s"), Expected: expect, Actual: 3})
		}
	}
	require.Equal(t, given(batch), b.ids(t, on("s")))
}

func idsOfAnotherStream(t *testing.T, b bench) {
	t.Helper()
	batch := Batch(2)
	b.must(t, to("s", eventstore.NoStream(), batch...))
	for _, events := range [][]eventstore.NewEvent{batch, {batch[0]}, {Batch(1)[0], batch[1]}} {
		for _, appends := range [][]eventstore.Append{
			{to("r", eventstore.Any(), events...)},
			{to("r", eventstore.Exact(4), events...)},
			{to("q", eventstore.Any(), Batch(1)...), to("r", eventstore.Any(), events...)},
			{{Stream: on("r"), Events: events, SkipStored: true}},
		} {
			_, err := b.append(t, appends...)
			require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
		}
	}
	require.Empty(t, b.ids(t, on("r")))
	require.Empty(t, b.ids(t, on("q")))

	// The other log and another tenant know nothing of them.
	done, err := b.Append(t.Context(), b.tenant, eventstore.Inference, []eventstore.Append{to("r", eventstore.NoStream(), batch...)}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, done[0].Position)
	b.tenant += "-other"
	require.False(t, b.must(t, to("r", eventstore.NoStream(), batch...)).Repeated)
}

func skipStored(t *testing.T, b bench) {
	t.Helper()
	batch := Batch(5)
	b.must(t, to("s", eventstore.NoStream(), batch[1], batch[3]))
	skipping := eventstore.Append{Stream: on("s"), SkipStored: true, Events: append(slices.Clone(batch), batch[0], batch[3])}
	done := b.must(t, skipping)
	require.Equal(t, given([]eventstore.NewEvent{batch[1], batch[3], batch[0], batch[3]}), done.Skipped)
	require.False(t, done.Repeated)
	require.EqualValues(t, 5, done.Revision)
	require.EqualValues(t, 5, done.Position)
	require.False(t, done.RecordedAt.IsZero())
	require.Equal(t, given([]eventstore.NewEvent{batch[1], batch[3], batch[0], batch[2], batch[4]}), b.ids(t, on("s")))

	done = b.must(t, skipping)
	require.Equal(t, given(skipping.Events), done.Skipped)
	require.True(t, done.Repeated)
	require.EqualValues(t, 5, done.Revision)
	require.EqualValues(t, 5, done.Position)
	require.True(t, done.RecordedAt.IsZero())

	done = b.must(t, eventstore.Append{Stream: on("new"), SkipStored: true, Events: Batch(2)})
	require.Empty(t, done.Skipped)
	require.EqualValues(t, 2, done.Revision)
	require.EqualValues(t, 7, done.Position)
}

func skipStoredInSeveralStreams(t *testing.T, b bench) {
	t.Helper()
	one, two := Batch(3), Batch(3)
	b.must(t, to("one", eventstore.NoStream(), one[0]))
	b.must(t, to("two", eventstore.NoStream(), two...))
	skip := func(id string, events []eventstore.NewEvent) eventstore.Append {
		return eventstore.Append{Stream: on(id), SkipStored: true, Events: events}
	}
	_, err := b.append(t, skip("one", one), to("guard", eventstore.Exists()))
	requireConflict(t, err, eventstore.Conflict{Stream: on("guard"), Expected: eventstore.Exists()})

	done, err := b.append(t, skip("one", one), to("two", eventstore.Exact(3)), skip("three", nil))
	require.NoError(t, err)
	require.Equal(t, given(one[:1]), done[0].Skipped)
	require.EqualValues(t, 3, done[0].Revision)
	require.EqualValues(t, 6, done[0].Position)
	require.EqualValues(t, 3, done[1].Revision)
	require.False(t, done[2].Repeated)

	done, err = b.append(t, skip("one", one), skip("two", append(slices.Clone(two), Batch(1)...)))
	require.NoError(t, err)
	require.True(t, done[0].Repeated)
	require.False(t, done[1].Repeated)
	require.Equal(t, given(two), done[1].Skipped)
	require.EqualValues(t, 4, done[1].Revision)
	require.EqualValues(t, 7, done[1].Position)
}
