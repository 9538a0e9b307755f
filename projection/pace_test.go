package projection_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/projection"
)

// flips notes when generations were to stand still.
type flips struct {
	mu  sync.Mutex
	all []time.Time
}

func (f *flips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, query := range data.Batch.QueuedQueries {
		if strings.Contains(query.SQL, "pg_advisory_xact_lock(") {
			f.all = append(f.all, time.Now())
		}
	}
	return ctx
}

func (*flips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*flips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (*flips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*flips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (f *flips) noted() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

func (f *flips) in(s *stage) func(*projection.Params) {
	return func(p *projection.Params) {
		p.Batch = 100
		p.Pool = s.tuned(func(c *pgxpool.Config) { c.ConnConfig.Tracer = f })
	}
}

// A generation with a tenant that does not move never catches up. The live one does not stand still for it again and again.
func TestTheLiveGenerationIsNotKeptFromItsWork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	stands := &flips{}
	r := s.runner(&gated{generation: 2, gate: make(chan struct{}), over: t.Context().Done()}, stands.in(s))
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(3)...))
	_, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	s.eventually(func() bool { return len(stands.noted()) >= 2 }, "it is tried again")
	noted := stands.noted()
	require.Greater(t, noted[1].Sub(noted[0]), 2*time.Second, "it stood still for one second, and works for as long at least")
}

// A throttle that is lifted counts at once, also for who waits by the old one; and while there is one, the live generation
// does not stand still for what cannot catch up meanwhile.
func TestALiftedThrottleIsHeard(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	stands := &flips{}
	r := s.runner(&tally{}, stands.in(s))
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(150)...)) // a batch of 100, and one that waits for 50 tokens
	_, err := r.Rebuild(t.Context(), "tally", 1)
	require.NoError(t, err)
	s.until(r, "the first batch is applied", func(st projection.Status) bool {
		return len(st.Generations) == 2 && st.Generations[1].Percentage >= 66
	})
	for range 20 {
		s.waitFor(r, "c", s.append("c", "shown by the live generation"))
	}
	require.Empty(t, stands.noted())
	require.NoError(t, r.Throttle(t.Context(), "tally", 0))
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
}
