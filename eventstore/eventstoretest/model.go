package eventstoretest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/eventstore"
)

// RunModel appends what rapid thinks of to the store and to Memory, and requires the same answers and the same logs.
func RunModel(t *testing.T, store Store) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		model := NewMemory()
		tenant := "t-" + uuid.NewString()
		var used []eventstore.NewEvent
		for range rapid.IntRange(1, 12).Draw(r, "calls") {
			appends := drawAppends(r, &used)
			command := drawCommand(r)
			want, wantErr := model.Append(t.Context(), tenant, eventstore.Lifecycle, appends, command)
			got, err := store.Append(t.Context(), tenant, eventstore.Lifecycle, appends, command)
			require.Equal(r, kind(wantErr), kind(err), "%v against %v", wantErr, err)
			require.Equal(r, timeless(want), timeless(got))
		}
		wantLog, err := model.ReadLog(t.Context(), tenant, eventstore.Lifecycle, 0, nil, 1000)
		require.NoError(r, err)
		log, err := store.ReadLog(t.Context(), tenant, eventstore.Lifecycle, 0, nil, 1000)
		require.NoError(r, err)
		require.Len(r, log, len(wantLog))
		for i := range log {
			log[i].RecordedAt = wantLog[i].RecordedAt
			require.Equal(r, wantLog[i], log[i])
		}
	})
}

func drawAppends(r *rapid.T, used *[]eventstore.NewEvent) []eventstore.Append {
	skip := rapid.IntRange(0, 3).Draw(r, "skip") == 0
	var appends []eventstore.Append
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(r, "streams") {
		a := eventstore.Append{Stream: on(id), Expect: drawExpectation(r)}
		if skip {
			a.SkipStored, a.Expect = true, eventstore.Any()
		}
		for range rapid.IntRange(0, 3).Draw(r, "events") {
			if len(*used) > 0 && rapid.Bool().Draw(r, "old") {
				a.Events = append(a.Events, rapid.SampledFrom(*used).Draw(r, "event"))
				continue
			}
			event := Batch(1)[0]
			*used = append(*used, event)
			a.Events = append(a.Events, event)
		}
		appends = append(appends, a)
	}
	return appends
}

func drawExpectation(r *rapid.T) eventstore.Expectation {
	return rapid.OneOf(
		rapid.Just(eventstore.Any()), rapid.Just(eventstore.NoStream()), rapid.Just(eventstore.Exists()),
		rapid.Custom(func(r *rapid.T) eventstore.Expectation {
			return eventstore.Exact(rapid.Int64Range(0, 5).Draw(r, "revision"))
		}),
	).Draw(r, "expect")
}

func drawCommand(r *rapid.T) *eventstore.CommandRecord {
	if rapid.Bool().Draw(r, "bare") {
		return nil
	}
	id := rapid.SampledFrom([]string{"c", "d", "e", "f", "g"}).Draw(r, "command")
	return record(id, rapid.SampledFrom([]string{"one", "two"}).Draw(r, "hash"))
}

// kind is what callers tell errors apart by.
func kind(err error) string {
	if conflict, ok := errors.AsType[*eventstore.Conflict](err); ok {
		return fmt.Sprintf("conflict %+v", *conflict)
	}
	for _, known := range []error{
		eventstore.ErrMalformed, eventstore.ErrDuplicateCommand, eventstore.ErrDuplicateEvent,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(err)
}

// timeless leaves of each time only whether it is there.
func timeless(done []eventstore.Appended) []string {
	var all []string
	for _, d := range done {
		all = append(all, fmt.Sprint(d.Stream, d.Revision, d.Position, d.RecordedAt.IsZero(), d.Repeated, d.Skipped))
	}
	return all
}
