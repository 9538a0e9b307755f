package follow_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// busy is a Work with events that counts how often it is read, and takes no time to read.
type busy struct {
	played

	reads    int
	latest   map[string]time.Duration // how long the longest wait of a tenant was, from page to page
	since    map[string]time.Time
	prepared atomic.Int64
}

func newBusy(heads map[string]int64) *busy {
	return &busy{
		played: played{page: 100 * time.Millisecond, heads: heads, at: map[string]int64{}},
		latest: map[string]time.Duration{}, since: map[string]time.Time{},
	}
}

func (l *busy) Read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	pages, err := l.played.Read(ctx, cursors, limit)
	for i := range pages {
		for _, c := range cursors {
			if c.Tenant != pages[i].Tenant {
				continue
			}
			for range pages[i].Through - c.After {
				pages[i].Events = append(pages[i].Events, eventstore.Event{TenantID: c.Tenant})
			}
		}
	}
	return pages, err
}

func (l *busy) Handle(ctx context.Context, tasks []follow.Task) []follow.Outcome {
	l.mu.Lock()
	for _, task := range tasks {
		name := task.Page.Tenant
		if at, is := l.since[name]; is {
			l.latest[name] = max(l.latest[name], time.Since(at))
		}
		l.since[name] = time.Now()
		if task.Prepared != nil {
			task.Prepared()
		}
	}
	l.mu.Unlock()
	return l.played.Handle(ctx, tasks)
}

// A loop whose workers are slow reads no more often than they need pages, however many tenants have more.
func TestALoopThatWaitsForItsWorkersDoesNotSpin(t *testing.T) {
	t.Parallel()
	for _, tenants := range []int{1, 3, 4, 9, 700} {
		for _, gather := range []time.Duration{0, 5 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("%d tenants, every %s", tenants, gather), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					heads := map[string]int64{}
					for n := range tenants {
						heads[fmt.Sprintf("tenant%d", n)] = 1_000_000
					}
					l := newBusy(heads)
					loop := follow.NewLoop(follow.Params{
						Heads: l.Heads, Sweep: time.Second, Takeover: time.Minute, Workers: 4, Batch: 10, Together: 32, Gather: gather,
						Prepare: func(follow.Task) any { return l.prepared.Add(1) },
					}, l)
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { loop.Run(ctx) })
					<-time.After(10 * time.Second)
					cancel()
					running.Wait()
					l.mu.Lock()
					defer l.mu.Unlock()
					var pages int64
					for _, at := range l.at {
						pages += at / 10
					}
					if tenants < 10 { // of many, hardly anybody's next page is read before its turn
						require.Positive(t, l.prepared.Load())
					}
					require.LessOrEqual(t, l.reads, 500, "four workers begin 400 pages in ten seconds")
					require.GreaterOrEqual(t, pages, int64(90*min(tenants, 4)))
				})
			})
		}
	}
}

// A tenant with little to do is not kept waiting by those that always have a page ahead.
func TestWhoHasAPageAheadStarvesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newBusy(map[string]int64{"quiet": 1})
		for n := range 8 {
			l.heads[fmt.Sprintf("long%d", n)] = 1_000_000
		}
		loop := follow.NewLoop(follow.Params{
			Heads: l.Heads, Sweep: 100 * time.Millisecond, Takeover: time.Minute, Workers: 4, Batch: 10, Together: 32,
		}, l)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { loop.Run(ctx) })
		for range 40 {
			<-time.After(6 * time.Second) // whose turn it is is drawn, so some wait longer
			l.mu.Lock()
			require.Equal(t, l.heads["quiet"], l.at["quiet"])
			l.heads["quiet"]++
			l.mu.Unlock()
		}
		cancel()
		running.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		for n := range 8 {
			require.Less(t, l.latest[fmt.Sprintf("long%d", n)], 6*time.Second)
		}
	})
}
