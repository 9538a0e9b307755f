package follow_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

// statements counts what is sent to the database, by a word of it.
type statements struct {
	mu    sync.Mutex
	count map[string]int
}

func (s *statements) add(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, word := range []string{"feed_heads", "feed_changed", "feed_through", "feed_events", "subscription_places", "insert into", "update"} {
		if strings.Contains(sql, word) {
			s.count[word]++
			return
		}
	}
}

// taken are the counts since the last time.
func (s *statements) taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.count
	s.count = map[string]int{}
	return taken
}

func (s *statements) seen(word string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[word]
}

// TraceQueryStart implements pgx.QueryTracer.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	s.add(query.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (*statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, query pgx.TraceBatchQueryData) {
	s.add(query.SQL)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestManyTenantsCostNoQueryEach: what a subscription to 2,000 tenants asks when it begins, when all is quiet, and when
// one of them has news that nobody tells.
func TestManyTenantsCostNoQueryEach(t *testing.T) {
	t.Parallel()
	const tenants = 2000
	s := &stage{t: t, db: pgtest.New(t)}
	s.pool = s.db.Pool(t)
	s.store = eventstore.New(s.pool)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < tenants; i += 8 {
				_, err := s.store.Append(t.Context(), fmt.Sprintf("t%d", i), eventstore.Lifecycle,
					[]eventstore.Append{{Stream: eventstore.Stream{Type: "Thing", ID: "s"}, Events: eventstoretest.Batch(1)}}, nil)
				if err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	all.Wait()

	asked := &statements{count: map[string]int{}}
	traced := pgtest.Tuned(t, s.db.ServingURL, func(settings *pgxpool.Config) {
		settings.MaxConns = 8
		settings.ConnConfig.Tracer = asked
	})
	s.tail = eventstore.NewTail(eventstore.New(traced), eventstore.Lifecycle)
	s.background(func(ctx context.Context) { _ = s.tail.Run(ctx) })
	var seen record
	s.subscribe(traced, follow.Subscription{Takeover: time.Hour}, seen.handle) // no beat comes between
	s.eventually(func() bool { return asked.seen("insert into") == tenants+1 }, "everything is acknowledged")
	begun := asked.taken()
	require.Equal(t, 1, begun["feed_heads"])
	require.Equal(t, 1, begun["subscription_places"])
	require.Less(t, begun["feed_events"], tenants/20, "many tenants are read in one call")
	require.Len(t, seen.positions, tenants)

	s.eventually(func() bool { return asked.seen("feed_changed") >= 3 }, "it looks, and all is quiet")
	quiet := asked.taken()
	delete(quiet, "feed_changed")
	require.Empty(t, quiet)

	s.reaches("t7", s.append("t7", "A", 1)) // by a store without a tail
	busy := asked.taken()
	delete(busy, "feed_changed")
	require.Equal(t, map[string]int{"feed_through": 1, "feed_events": 1, "insert into": 1}, busy)
}
