package follow_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// played is a Work over logs without events: only positions count. Each page takes a while.
type played struct {
	page time.Duration

	mu    sync.Mutex
	heads map[string]int64
	at    map[string]int64
}

func (l *played) Heads(context.Context) (map[string]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.heads), nil
}

func (*played) Begin(context.Context) ([]follow.Place, error)         { return nil, nil }
func (*played) Beat(context.Context) (bool, error)                    { return true, nil }
func (*played) Deserted(context.Context, time.Duration) (bool, error) { return true, nil }
func (*played) End(context.Context)                                   {}

func (l *played) Read(_ context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var pages []eventstore.Page
	for _, c := range cursors {
		if through := min(l.heads[c.Tenant], c.After+int64(limit)); through > c.After {
			pages = append(pages, eventstore.Page{Tenant: c.Tenant, Through: through})
		}
	}
	return pages, nil
}

func (l *played) Handle(ctx context.Context, tasks []follow.Task) []follow.Outcome {
	var all []follow.Outcome
	for _, task := range tasks {
		all = append(all, l.one(ctx, task))
	}
	return all
}

func (l *played) one(ctx context.Context, task follow.Task) follow.Outcome {
	select {
	case <-time.After(l.page):
	case <-ctx.Done():
		return follow.Outcome{End: follow.Cut}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[task.Page.Tenant] = task.Page.Through
	return follow.Outcome{End: follow.Done, Position: task.Page.Through}
}

func (l *played) appended(tenant string, head int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads[tenant] = head
}

func (l *played) position(tenant string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at[tenant]
}

// Without a tail everybody is looked for each sweep, also while one tenant has so much that a worker ends all the time.
func TestABusyTenantHidesNobodysNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &played{page: 100 * time.Millisecond, heads: map[string]int64{"busy": 1_000_000}, at: map[string]int64{}}
		loop := follow.NewLoop(follow.Params{
			Heads: l.Heads, Sweep: time.Second, Takeover: time.Minute, Workers: 2, Batch: 10,
		}, l)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { loop.Run(ctx) })
		<-time.After(5 * time.Second)
		l.appended("quiet", 7)
		<-time.After(2 * time.Second)
		require.EqualValues(t, 7, l.position("quiet"))
		require.Greater(t, l.position("busy"), int64(500))
		cancel()
		running.Wait()
	})
}

// reading is a Work whose pages, of real events, take as long to read as to handle.
type reading struct{ played }

func (l *reading) Read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	<-time.After(l.page)
	pages, err := l.played.Read(ctx, cursors, limit)
	for i := range pages {
		for range pages[i].Through - cursors[i].After {
			pages[i].Events = append(pages[i].Events, eventstore.Event{TenantID: pages[i].Tenant})
		}
	}
	return pages, err
}

// While a full page is handled the next one is read.
func TestAFullPagesSuccessorIsReadMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const pages = 20
		l := &reading{played{page: 100 * time.Millisecond, heads: map[string]int64{"long": 10 * pages}, at: map[string]int64{}}}
		loop := follow.NewLoop(follow.Params{
			Heads: l.Heads, Sweep: time.Second, Takeover: time.Minute, Workers: 2, Batch: 10,
		}, l)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { loop.Run(ctx) })
		<-time.After((pages + 3) * 100 * time.Millisecond)
		require.EqualValues(t, 10*pages, l.position("long"))
		cancel()
		running.Wait()
	})
}
