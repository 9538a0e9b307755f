package eventstoretest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// atOnce runs f n times at the same moment and returns what each returned.
func atOnce[T any](n int, f func(i int) (T, error)) (results []T, errs []error) {
	results, errs = make([]T, n), make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			results[i], errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return results, errs
}

func anyAtOnce(t *testing.T, b bench) {
	t.Helper()
	const writers, each = 50, 2
	done, errs := atOnce(writers, func(int) ([]eventstore.Appended, error) {
		return b.append(t, to("hot", eventstore.Any(), Batch(each)...))
	})
	require.NoError(t, errors.Join(errs...))
	revisions := make(map[int64]struct{})
	for _, d := range done {
		require.Equal(t, d[0].Revision, d[0].Position, "the only stream of the log")
		revisions[d[0].Revision] = struct{}{}
	}
	require.Len(t, revisions, writers)
	require.Len(t, b.ids(t, on("hot")), writers*each)
	require.EqualValues(t, writers*each, b.head(t))
}

func exactAtOnce(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("s", eventstore.NoStream(), Batch(3)...))
	const rounds, writers = 5, 8
	for round := range rounds {
		_, errs := atOnce(writers, func(int) ([]eventstore.Appended, error) {
			return b.append(t, to("s", eventstore.Exact(int64(3+round)), Batch(1)...))
		})
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
				continue
			}
			requireConflict(t, err, eventstore.Conflict{
				Stream: on("s"), Expected: eventstore.Exact(int64(3 + round)), Actual: int64(4 + round),
			})
		}
		require.Equal(t, 1, winners)
	}
	require.EqualValues(t, 3+rounds, b.head(t))
}

// newTenantAtOnce: the first appends of a tenant race for its head row, to different streams.
func newTenantAtOnce(t *testing.T, b bench) {
	t.Helper()
	const writers = 16
	done, errs := atOnce(writers, func(i int) ([]eventstore.Appended, error) {
		return b.append(t, to(fmt.Sprintf("s%d", i), eventstore.NoStream(), Batch(1)...))
	})
	require.NoError(t, errors.Join(errs...))
	positions := make(map[int64]struct{})
	for _, d := range done {
		require.EqualValues(t, 1, d[0].Revision)
		positions[d[0].Position] = struct{}{}
	}
	require.Len(t, positions, writers)
	require.EqualValues(t, writers, b.head(t))
}

// commandAtOnce: of many attempts at one command in both logs, one is handled.
func commandAtOnce(t *testing.T, b bench) {
	t.Helper()
	_, errs := atOnce(12, func(i int) ([]eventstore.Appended, error) {
		log := []eventstore.Log{eventstore.Lifecycle, eventstore.Inference}[i%2]
		return b.Append(t.Context(), b.tenant, log, []eventstore.Append{to("s", eventstore.Any(), Batch(1)...)}, record("once", "hash"))
	})
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		require.ErrorIs(t, err, eventstore.ErrDuplicateCommand)
	}
	require.Equal(t, 1, winners)
	inferred, err := b.Head(t.Context(), b.tenant, eventstore.Inference)
	require.NoError(t, err)
	require.EqualValues(t, 1, b.head(t)+inferred)
}

// skipStoredAtOnce: overlapping batches of many writers store each event once.
func skipStoredAtOnce(t *testing.T, b bench) {
	t.Helper()
	const writers, step, size = 10, 3, 9
	all := Batch(writers*step + size)
	done, errs := atOnce(writers, func(i int) ([]eventstore.Appended, error) {
		return b.append(t, eventstore.Append{Stream: on("s"), SkipStored: true, Events: all[i*step : i*step+size]})
	})
	require.NoError(t, errors.Join(errs...))
	added := 0
	for _, d := range done {
		added += size - len(d[0].Skipped)
	}
	want := (writers-1)*step + size
	require.Equal(t, want, added)
	seen := make(map[uuid.UUID]struct{})
	for _, id := range b.ids(t, on("s")) {
		seen[id] = struct{}{}
	}
	require.Len(t, seen, want)
	require.EqualValues(t, want, b.head(t))
}
