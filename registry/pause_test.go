package registry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore/eventstoretest"
)

// TestPausesAreBoundedAndRandom: on a clock that stands still but for the waits, each wait between two attempts is within
// its bound, and two callers that conflict do not wait alike.
func TestPausesAreBoundedAndRandom(t *testing.T) {
	t.Parallel()
	waits := func(t *testing.T) (waited []time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			store := eventstoretest.NewMemory()
			d := at(store)
			d.created(t)
			last := time.Now()
			world := at(&meddled{Store: store, before: func(n int64) {
				waited = append(waited, time.Since(last))
				last = time.Now()
				d.do(t, configure(int(n)), domain.Meta{})
			}})
			_, err := world.Handle(t.Context(), d.tenant, configure(0), domain.Meta{})
			require.ErrorIs(t, err, domain.ErrConflict)
		})
		return waited
	}
	one, two := waits(t), waits(t)
	require.Len(t, one, 24)
	require.NotEqual(t, one, two)
	var total time.Duration
	require.Zero(t, one[0], "the first attempt does not wait")
	for attempt, wait := range one[1:] {
		require.Less(t, wait, min(2*time.Millisecond<<attempt, 64*time.Millisecond), "after attempt %d", attempt)
		total += wait
	}
	require.Positive(t, total)
}
