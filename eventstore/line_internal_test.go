package eventstore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestATenantsCallersTravelTogetherAgain: the next flight of a tenant waits for the callers of its last one, as long as one
// of them is not back, and only a moment.
func TestATenantsCallersTravelTogetherAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newField(t)
		alone := f.append(t.Context(), "acme", "first", 1)
		under := f.next()
		for _, missing := range []int{0, 1} {
			a, b := f.append(t.Context(), "acme", "a", 1), f.append(t.Context(), "acme", "b", 1)
			f.standing("acme", 2)
			under.land <- landing{}
			require.NoError(t, <-alone)
			under = f.next()
			require.Len(t, under.calls, 2)

			alone = f.append(t.Context(), "acme", "c", 1)
			f.standing("acme", 1)
			<-time.After(time.Minute) // of the bubble's clock: so long the flight takes
			landed := time.Now()
			under.land <- landing{}
			require.NoError(t, <-a)
			require.NoError(t, <-b)
			back := []<-chan error{f.append(t.Context(), "acme", "a", 1), alone}
			if missing == 0 {
				back = append(back, f.append(t.Context(), "acme", "b", 1))
			}
			under = f.next()
			require.Len(t, under.calls, len(back), "who waited goes along with who came back")
			require.Equal(t, time.Duration(missing)*mostRegather, time.Since(landed))
			under.land <- landing{}
			for _, outcome := range back {
				require.NoError(t, <-outcome)
			}
			alone = f.append(t.Context(), "acme", "first", 1)
			under = f.next()
		}
		under.land <- landing{}
	})
}
