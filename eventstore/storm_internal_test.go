package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// storm is a PostgreSQL that takes its time, holds heads, and leaves out calls of what travels together, as a seed says.
type storm struct {
	t *testing.T

	mu     sync.Mutex
	random *rand.Rand
	flying map[string]int // flights of a tenant
	ended  map[*call]int
	left   map[*call]time.Time // when their callers left
}

// up to the most, of the bubble's clock.
func (s *storm) some(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.random.Int64N(int64(most)))
}

func (s *storm) chance(in int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(in) == 0
}

func (s *storm) fly(calls []*call, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tenants := map[string]struct{}{}
	for _, c := range calls {
		tenants[c.tenant] = struct{}{}
		if left, gone := s.left[c]; by > 0 && gone { // a flight takes off in the moment in which it is put together
			require.Equal(s.t, left, time.Now(), "nobody waits for a call of %s that was not under way", c.tenant)
		}
	}
	for tenant := range tenants {
		s.flying[tenant] += by
		require.LessOrEqual(s.t, s.flying[tenant], 1, "calls of %s are under way twice", tenant)
	}
}

func (s *storm) deliver(ctx context.Context, wait bool, calls []*call) (busy bool) {
	s.fly(calls, 1)
	defer s.fly(calls, -1)
	select {
	case <-time.After(s.some(5 * time.Millisecond)):
	case <-ctx.Done():
		for _, c := range calls {
			c.end(nil, ctx.Err())
		}
		return false
	}
	if s.chance(4) {
		if wait {
			<-time.After(headWait * time.Millisecond)
		}
		return true
	}
	for _, c := range calls {
		if len(calls) > 1 && s.chance(5) {
			c.alone = true
			continue
		}
		s.mu.Lock()
		s.ended[c]++
		s.mu.Unlock()
		c.end([]Appended{{Position: 1}}, nil)
	}
	return false
}

// Callers who come, leave and lose patience, over heads that are held: each hears of its call, which is sent to its end once
// at the most, and nothing is left behind. Who waits for ever fails the bubble.
func TestAStormOfCallersLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &storm{t: t, random: rand.New(rand.NewPCG(seed, 1)), flying: map[string]int{}, ended: map[*call]int{}, left: map[*call]time.Time{}} //nolint:gosec // repeatable
				b := newCombiner(s.deliver, func([]*call) {})
				var callers sync.WaitGroup
				for i := range 60 {
					callers.Go(func() {
						for n := range 20 {
							s.appendOnce(b, fmt.Sprintf("tenant%d", i%4), fmt.Sprintf("%d/%d", i, n%2))
						}
					})
				}
				callers.Wait()
				synctest.Wait()
				<-time.After(time.Minute) // vigils for calls that nobody waits for
				b.mu.Lock()
				defer b.mu.Unlock()
				require.Empty(t, b.lines)
				require.Empty(t, b.ready)
				require.Empty(t, b.held)
				require.Zero(t, b.flights)
				require.Zero(t, b.vigils)
				for c, times := range s.ended {
					require.Equal(t, 1, times, "a call of %s", c.tenant)
				}
			})
		})
	}
}

// appendOnce is one caller's call: some have little patience, and some are cancelled before they begin.
func (s *storm) appendOnce(b *combiner, tenant, stream string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	if s.chance(3) {
		ctx, cancel = context.WithTimeout(context.Background(), s.some(20*time.Millisecond))
	}
	defer cancel()
	<-time.After(s.some(3 * time.Millisecond))
	var mine *call
	_, err := b.do(ctx, tenant, func() *call {
		mine = fieldCall(tenant, stream, 1)
		return mine
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		require.Equal(s.t, 1, s.ended[mine], "it was told of what is done")
	case errors.Is(err, context.DeadlineExceeded):
		require.Error(s.t, ctx.Err(), "nobody else's deadline is told")
		s.left[mine] = time.Now()
	default:
		require.NoError(s.t, err)
	}
}
