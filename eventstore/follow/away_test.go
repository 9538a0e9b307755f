package follow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// unreachable is work whose database is away until some time.
type unreachable struct {
	until time.Time
	begun chan time.Time
}

func (u *unreachable) Begin(context.Context) ([]follow.Place, error) {
	if time.Now().Before(u.until) {
		return nil, errors.New("connection refused")
	}
	u.begun <- time.Now()
	return nil, nil
}
func (u *unreachable) Beat(context.Context) (bool, error)                    { return true, nil }
func (u *unreachable) Deserted(context.Context, time.Duration) (bool, error) { return false, nil }
func (u *unreachable) Read(context.Context, []eventstore.Cursor, int) ([]eventstore.Page, error) {
	return nil, nil
}

func (u *unreachable) Handle(context.Context, []follow.Task) []follow.Outcome { return nil }
func (u *unreachable) End(context.Context)                                    {}

// However long the database was away, followers go on within moments of its return.
func TestALoopGoesOnSoonAfterALongOutage(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{time.Second, 20 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			work := &unreachable{until: time.Now().Add(outage), begun: make(chan time.Time, 1)}
			loop := follow.NewLoop(follow.Params{
				Heads: func(context.Context) (map[string]int64, error) { return nil, nil },
				Sweep: time.Second, Takeover: 5 * time.Second, Workers: 1, Batch: 1,
			}, work)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); loop.Run(ctx) }()
			begun := <-work.begun
			require.Less(t, begun.Sub(work.until), 3*time.Second, "after an outage of %s", outage)
			cancel()
			<-ended
		})
	}
}
