package follow_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// limit is far more than a test needs; who reaches it hangs.
	limit = time.Minute
	tick  = 5 * time.Millisecond
)

// stage is a database with a lifecycle log whose tail runs.
type stage struct {
	t     *testing.T
	db    *pgtest.Database
	pool  *pgxpool.Pool
	store *eventstore.Store
	tail  *eventstore.Tail
}

func newStage(t *testing.T) *stage {
	t.Helper()
	db := pgtest.New(t)
	pool := db.Pool(t)
	s := &stage{t: t, db: db, pool: pool, store: eventstore.New(pool)}
	s.tail = eventstore.NewTail(s.store, eventstore.Lifecycle)
	s.background(func(ctx context.Context) { _ = s.tail.Run(ctx) })
	return s
}

// background runs until the answer is called or the test ends; both wait for its end.
func (s *stage) background(run func(context.Context)) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { run(ctx) })
	stop = func() {
		cancel()
		ended.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// subscribe runs a subscription on a pool.
func (s *stage) subscribe(pool *pgxpool.Pool, sub follow.Subscription, handle follow.Handler) (stop func()) {
	s.t.Helper()
	if sub.Name == "" {
		sub.Name = "sub"
	}
	if sub.Takeover == 0 {
		sub.Takeover = 100 * time.Millisecond
	}
	return s.background(func(ctx context.Context) {
		if err := follow.Subscribe(ctx, pool, s.tail, sub, handle); err != nil {
			s.t.Errorf("subscribe: %v", err)
		}
	})
}

// append appends n events of a type and answers with the tenant's head.
func (s *stage) append(tenant, kind string, n int) int64 {
	s.t.Helper()
	events := eventstoretest.Batch(n)
	for i := range events {
		events[i].Type = kind
	}
	done, err := s.store.Append(s.t.Context(), tenant, eventstore.Lifecycle,
		[]eventstore.Append{{Stream: eventstore.Stream{Type: "Thing", ID: "s"}, Events: events}}, nil)
	require.NoError(s.t, err)
	return done[0].Position
}

// cursor is where the subscription named sub stands for a tenant, and what keeps it.
func (s *stage) cursor(tenant string) (position int64, failure string, blamed int64) {
	s.t.Helper()
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
	batch.Queue(`select coalesce(max(position), 0), coalesce(max(error), ''), coalesce(max(error_position), 0)
		from phantom.subscription_cursor where subscription = 'sub'`).QueryRow(func(row pgx.Row) error {
		return row.Scan(&position, &failure, &blamed)
	})
	require.NoError(s.t, s.pool.SendBatch(s.t.Context(), &batch).Close())
	return position, failure, blamed
}

func (s *stage) reaches(tenant string, position int64) {
	s.t.Helper()
	s.eventually(func() bool {
		at, _, _ := s.cursor(tenant)
		return at == position
	}, "the cursor of "+tenant)
}

func (s *stage) eventually(condition func() bool, what string) {
	s.t.Helper()
	require.Eventually(s.t, condition, limit, tick, what)
}

// record remembers what was delivered, by tenant.
type record struct {
	mu        sync.Mutex
	positions map[string][]int64
}

func (r *record) handle(_ context.Context, d *follow.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.positions == nil {
		r.positions = map[string][]int64{}
	}
	for _, e := range d.Events {
		r.positions[d.Tenant] = append(r.positions[d.Tenant], e.Position)
	}
	return nil
}

func (r *record) of(tenant string) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.positions[tenant])
}

// upTo are the positions from the first to the last.
func upTo(first, last int64) []int64 {
	all := []int64{}
	for p := first; p <= last; p++ {
		all = append(all, p)
	}
	return all
}
