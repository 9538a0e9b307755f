package follow_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

var errWeather = errors.New("the database is away")

// weather is what all runners of one follower share: the log, the cursors, and who is the youngest. Anything may fail.
type weather struct {
	mu      sync.Mutex
	random  *rand.Rand
	calm    bool
	heads   map[string]int64
	at      map[string]int64
	epochs  map[string]int64 // of the runner that moved the cursor
	epoch   int64
	seen    time.Time // zero when the youngest has left
	handled map[string]int64
}

func (w *weather) bad(in int) bool { return !w.calm && w.random.IntN(in) == 0 }

// rider is one runner in it.
type rider struct {
	*weather

	mine int64
}

func (r *rider) Heads(context.Context) (map[string]int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad(10) {
		return nil, errWeather
	}
	return maps.Clone(r.heads), nil
}

func (r *rider) Begin(context.Context) ([]follow.Place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	r.seen = time.Now()
	if r.bad(4) {
		return nil, errWeather
	}
	r.mine = r.epoch
	var places []follow.Place
	for tenant, position := range r.at {
		places = append(places, follow.Place{Tenant: tenant, Position: position})
	}
	return places, nil
}

func (r *rider) Beat(context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad(10) {
		return false, errWeather
	}
	if r.mine != r.epoch {
		return false, nil
	}
	r.seen = time.Now()
	return true, nil
}

func (r *rider) Deserted(_ context.Context, silence time.Duration) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad(10) {
		return false, errWeather
	}
	return time.Since(r.seen) > silence, nil
}

func (r *rider) End(context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mine == r.epoch {
		r.seen = time.Time{}
	}
}

func (r *rider) Read(_ context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad(10) {
		return nil, errWeather
	}
	var pages []eventstore.Page
	for _, c := range cursors {
		page := eventstore.Page{Tenant: c.Tenant, Through: min(r.heads[c.Tenant], c.After+int64(limit))}
		for position := c.After + 1; position <= page.Through; position++ {
			page.Events = append(page.Events, eventstore.Event{TenantID: c.Tenant, Position: position})
		}
		if len(page.Events) > 0 {
			pages = append(pages, page)
		}
	}
	return pages, nil
}

func (r *rider) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.random.Int64N(int64(300 * time.Millisecond)))
}

// Handle moves the cursor by compare-and-set, as projections do.
func (r *rider) Handle(ctx context.Context, tasks []follow.Task) []follow.Outcome {
	all := make([]follow.Outcome, len(tasks))
	r.mu.Lock()
	apart := len(tasks) > 1 && r.bad(6)
	r.mu.Unlock()
	for i, task := range tasks {
		if all[i] = (follow.Outcome{End: follow.Apart}); !apart {
			all[i] = r.one(ctx, task)
		}
	}
	return all
}

func (r *rider) one(ctx context.Context, task follow.Task) follow.Outcome {
	select {
	case <-time.After(r.pause()):
	case <-ctx.Done():
		return follow.Outcome{End: follow.Cut}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	tenant := task.Page.Tenant
	if r.at[tenant] != task.After || r.epochs[tenant] > r.mine {
		return follow.Outcome{End: follow.Moved, Position: r.at[tenant], Superseded: r.epochs[tenant] > r.mine}
	}
	switch {
	case r.bad(6):
		return follow.Outcome{End: follow.Failed}
	case len(task.Page.Events) > 1 && r.bad(6):
		return follow.Outcome{End: follow.Divisible}
	}
	r.at[tenant], r.epochs[tenant] = task.Page.Through, r.mine
	r.handled[tenant] += int64(len(task.Page.Events))
	return follow.Outcome{End: follow.Done, Position: task.Page.Through}
}

// Runners that come and go in bad weather handle every event once, and whoever is left comes to the end of every log.
func TestRunnersInAStormComeToTheEnd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &weather{
					random: rand.New(rand.NewPCG(seed, 2)), heads: map[string]int64{}, at: map[string]int64{}, //nolint:gosec // repeatable
					epochs: map[string]int64{}, handled: map[string]int64{},
				}
				var running sync.WaitGroup
				run := func(ctx context.Context) {
					r := &rider{weather: w}
					loop := follow.NewLoop(follow.Params{
						Heads: r.Heads, Sweep: time.Second, Takeover: 3 * time.Second, Workers: 2, Batch: 8, Together: int(seed % 4),
					}, r)
					running.Go(func() { loop.Run(ctx) })
				}
				lasting, stop := context.WithCancel(t.Context())
				run(lasting)
				for round := range 40 {
					w.mu.Lock()
					w.heads["tenant"+strconv.Itoa(round%5)] += w.random.Int64N(100)
					w.mu.Unlock()
					passing, cancel := context.WithTimeout(t.Context(), 5*w.any())
					defer cancel()
					run(passing)
					<-time.After(time.Duration(round%4) * 10 * w.any()) // now and then the lasting one is alone for a while
				}
				w.mu.Lock()
				w.calm = true
				w.mu.Unlock()
				<-time.After(2 * time.Minute) // more than the longest rest of a tenant
				require.Equal(t, w.heads, w.at)
				require.Equal(t, w.heads, w.handled)
				stop()
				running.Wait()
			})
		})
	}
}

func (w *weather) any() time.Duration { return (&rider{weather: w}).pause() }
