package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

func TestRunnerAppliesEveryTenantOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.append("early", good(30)...)
	r := s.runner(&tally{}, func(p *projection.Params) { p.Batch = 7 })
	s.start(r)
	a, b := s.append("a", good(100)...), s.append("b", good(3)...)
	other := s.appendType("b", "Ignored", "x") // passes by, and still counts as seen
	s.waitFor(r, "a", a)
	s.waitFor(r, "b", other)
	s.waitFor(r, "early", 30)
	require.Equal(t, 100, s.counted("a", 1))
	require.Equal(t, 3, s.counted("b", 1))
	require.Equal(t, 30, s.counted("early", 1))
	require.Greater(t, other, b)

	status, err := r.Status(t.Context(), "tally")
	require.NoError(t, err)
	require.Zero(t, status.Lag)
	require.Empty(t, status.LastError)
	require.NotNil(t, status.LastProgressAt)
	require.Len(t, status.Tenants, 3)
	require.Equal(t, []string{"b"}, []string{status.Of("b").Tenants[0].Tenant})
	require.Len(t, status.Of("b").Tenants, 1)
}

func TestRowsOfATenantAreHiddenFromOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(5)...))
	require.Zero(t, s.counted("somebody-else", 1))
	var seen int
	require.NoError(t, s.pool.QueryRow(t.Context(), `select count(*) from phantom.projection_checkpoint`).Scan(&seen))
	require.Zero(t, seen, "checkpoints are seen without naming a tenant")
}

func TestTwoRunnersNeverApplyTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.runner(&tally{}, func(p *projection.Params) { p.Batch, p.Takeover = 3, time.Millisecond })
	second := s.runner(&tally{}, func(p *projection.Params) { p.Batch, p.Takeover = 5, time.Millisecond })
	s.start(first)
	heads := map[string]int64{}
	for round := range 20 {
		if round == 5 {
			s.start(second)
		}
		for _, tenant := range []string{"a", "b", "c"} {
			heads[tenant] = s.append(tenant, good(11)...)
		}
	}
	for tenant, head := range heads {
		s.waitFor(first, tenant, head)
		s.waitFor(second, tenant, head)
		require.Equal(t, 220, s.counted(tenant, 1))
	}
}

func TestARunnerThatEndsInTheMiddleLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{entered: make(chan struct{}), leave: make(chan struct{})}
	r := s.runner(p)
	head := s.append("a", good(10)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-p.entered // the checkpoint has moved, nothing is committed
	cancel()
	close(p.leave)
	require.NoError(t, <-ended)
	require.Zero(t, s.counted("a", 1))

	next := s.runner(&tally{})
	s.start(next)
	s.waitFor(next, "a", head)
	require.Equal(t, 10, s.counted("a", 1))
}

func TestALockedTenantDelaysNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "stuck", s.append("stuck", "x"))

	foreign, err := pgtest.Pool(t, s.db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	_, err = foreign.Exec(t.Context(), `select from phantom.projection_checkpoint where tenant_id = 'stuck' for update`)
	require.NoError(t, err)
	stuck := s.append("stuck", good(5)...)
	for range 20 {
		s.waitFor(r, "free", s.append("free", "x"))
	}
	require.Equal(t, 1, s.counted("stuck", 1))
	require.NoError(t, foreign.Rollback(t.Context()))
	s.waitFor(r, "stuck", stuck)
	require.Equal(t, 6, s.counted("stuck", 1))
}

func TestTheOlderRunnerTakesOverWhenTheYoungerDies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	older, younger := s.runner(&tally{}), s.runner(&tally{})
	s.start(older)
	s.waitFor(older, "a", s.append("a", good(2)...))
	stop := s.start(younger)
	s.eventually(func() bool { return s.epoch() == 2 }, "the younger has taken over")
	s.waitFor(younger, "a", s.append("a", good(2)...))
	stop()
	head := s.append("a", good(2)...)
	s.waitFor(older, "a", head)
	require.Equal(t, 6, s.counted("a", 1))
}

func (s *stage) epoch() int64 {
	s.t.Helper()
	var epoch int64
	err := s.pool.QueryRow(s.t.Context(), `select coalesce(
		(select epoch from phantom.projection_build where projection = 'tally' and generation = 1), 0)`).Scan(&epoch)
	require.NoError(s.t, err)
	return epoch
}

func TestATailWakesTheRunner(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	tail := eventstore.NewTail(s.store, eventstore.Lifecycle)
	r := s.runner(&tally{}, func(p *projection.Params) {
		p.Feed = noHeads{s.store} // so only the tail can tell
		p.Tails = map[eventstore.Log]*eventstore.Tail{eventstore.Lifecycle: tail}
	})
	s.append("early", good(2)...)
	s.start(r)
	s.eventually(func() bool { return s.runs() }, "the runner runs")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(ctx) }()
	s.waitFor(r, "a", s.append("a", good(3)...))
	s.waitFor(r, "early", 2)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// noHeads is a feed that nobody may ask for all tenants.
type noHeads struct{ projection.Feed }

func (noHeads) Heads(context.Context, eventstore.Log) (map[string]int64, error) {
	return nil, errors.New("all heads were asked for")
}

func (s *stage) runs() bool {
	return s.epoch() > 0
}

func TestWaitForAnswersWithoutARunner(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	head := s.append("a", good(3)...)
	asks := s.runner(&tally{})
	works := s.runner(&tally{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := asks.WaitFor(ctx, "tally", "a", head)
	var behind *projection.NotReached
	require.ErrorAs(t, err, &behind)
	require.Equal(t, projection.NotReached{Projection: "tally", Wanted: 3, Actual: 0}, *behind)
	s.start(works)
	s.waitFor(asks, "a", head)
}

func TestUnknownAndDoubleProjections(t *testing.T) {
	t.Parallel()
	r, err := projection.NewRunner(projection.Params{Projections: []projection.Projection{&tally{}}})
	require.NoError(t, err)
	require.Equal(t, []string{"tally"}, r.Names())
	require.ErrorIs(t, r.WaitFor(t.Context(), "other", "a", 1), projection.ErrUnknown)
	_, err = r.Status(t.Context(), "other")
	require.ErrorIs(t, err, projection.ErrUnknown)
	_, err = projection.NewRunner(projection.Params{Projections: []projection.Projection{&tally{}, &tally{}}})
	require.ErrorContains(t, err, `named "tally"`)
}

func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	told := make(chan string, 100)
	r := s.runner(&tally{}, func(p *projection.Params) {
		p.Failed = func(name, tenant string, err error) {
			select {
			case told <- strings.Join([]string{name, tenant, err.Error()}, " | "):
			default:
			}
		}
	})
	s.append("a", "poison")
	s.start(r)
	require.Contains(t, <-told, "tally | a | parked: projection tally cannot apply event 1 (Counted of Thing a): it is poison")
}

func TestTheFeedRoleAloneSeesAllPlaces(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `select set_config('phantom.tenant', 'b', true)`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `insert into phantom.projection_checkpoint
			(tenant_id, log, projection, generation, epoch, position) values ('a', 'lifecycle', 'other', 1, 1, 1)`)
		return err
	})
	require.ErrorContains(t, err, "row-level security")
}

// hasty takes too long over more than a few events.
type hasty struct{ tally }

func (p *hasty) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	if len(events) > 3 {
		return nil, context.DeadlineExceeded
	}
	return p.tally.Apply(ask, generation, events)
}

// A batch that is too much for its deadline is not tried again and again as a whole.
func TestABatchThatTakesTooLongIsTriedInPieces(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&hasty{})
	last := s.append("a", good(10)...)
	s.start(r)
	s.waitFor(r, "a", last)
	require.Equal(t, 10, s.counted("a", 1))
}

// Positions that mean nothing to a projection are passed for all tenants together; the one that is held by somebody keeps
// none of the others.
func TestWhatMeansNothingIsPassedTogether(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	tenants := []string{"a", "b", "c", "d", "stuck"}
	for _, tenant := range tenants {
		s.waitFor(r, tenant, s.append(tenant, "x"))
	}
	foreign, err := pgtest.Pool(t, s.db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	_, err = foreign.Exec(t.Context(), `select from phantom.projection_checkpoint where tenant_id = 'stuck' for update`)
	require.NoError(t, err)
	for range 20 {
		heads := map[string]int64{}
		for _, tenant := range tenants {
			heads[tenant] = s.appendType(tenant, "Uncounted", "x")
		}
		for _, tenant := range tenants[:4] {
			s.waitFor(r, tenant, heads[tenant])
		}
	}
	require.NoError(t, foreign.Rollback(t.Context()))
	s.waitFor(r, "stuck", 21)
	for _, tenant := range tenants {
		s.waitFor(r, tenant, s.append(tenant, "x"))
		require.Equal(t, 2, s.counted(tenant, 1))
	}
}

// A checkpoint moves from where it is believed to be, for the youngest runner, and not
// while the projection is paused.
func TestACheckpointMovesByItsRules(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	stop := s.start(r)
	s.waitFor(r, "a", s.append("a", "x", "x"))
	s.waitFor(r, "b", s.append("b", "x"))
	stop()
	advance := func(epoch, from int64) []string {
		rows, err := s.pool.Query(t.Context(), `select tenant from phantom.projection_advance('lifecycle', 'tally', 1, $1, '{a,b}', $2, $3)`,
			epoch, []int64{from, 1}, []int64{from + 5, 1})
		require.NoError(t, err)
		moved, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return moved
	}
	require.Empty(t, advance(0, 2), "an older runner")
	require.Equal(t, []string{"b"}, advance(1, 1), "a is elsewhere")
	require.NoError(t, r.Pause(t.Context(), "tally", ""))
	require.Empty(t, advance(1, 2), "paused")
	require.NoError(t, r.Resume(t.Context(), "tally"))
	require.ElementsMatch(t, []string{"a", "b"}, advance(1, 2))
	status, err := r.Status(t.Context(), "tally")
	require.NoError(t, err)
	require.EqualValues(t, 7, status.Tenants[0].Position)
}

// advances counts the calls that move checkpoints, and how many tenants they were asked to move.
type advances struct {
	mu      sync.Mutex
	calls   int
	tenants int
}

func (a *advances) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (a *advances) TraceBatchQuery(_ context.Context, _ *pgx.Conn, query pgx.TraceBatchQueryData) {
	if !strings.Contains(query.SQL, "projection_advance") {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	a.tenants += len(query.Args[4].([]string))
}

func (*advances) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (*advances) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*advances) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Few events of each of many tenants are applied in few transactions.
func TestManyTenantsAreAppliedTogether(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const tenants = 60
	heads := map[string]int64{}
	for n := range tenants {
		name := fmt.Sprintf("tenant-%d", n)
		heads[name] = s.append(name, good(3)...)
	}
	counts := &advances{}
	r := s.runner(&tally{}, func(p *projection.Params) {
		p.Pool = s.tuned(func(c *pgxpool.Config) { c.ConnConfig.Tracer = counts })
	})
	s.start(r)
	for name, head := range heads {
		s.waitFor(r, name, head)
		require.Equal(t, 3, s.counted(name, 1))
	}
	counts.mu.Lock()
	defer counts.mu.Unlock()
	require.GreaterOrEqual(t, counts.tenants, tenants)
	require.Less(t, counts.calls, tenants, "even if one of the pieces met a lock and went tenant by tenant")
}

// What goes wrong in one tenant concerns none of those whose events are applied with it.
func TestOneTenantsTroubleIsNotThatOfOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	r := s.runner(p)
	names := []string{"a", "locked", "parked", "poisoned", "z"}
	for _, name := range names {
		s.append(name, "x")
	}
	s.appendTo("parked", "bad", "poison")
	stop := s.start(r)
	s.waitFor(r, "parked", 2)
	for _, name := range []string{"a", "locked", "poisoned", "z"} {
		s.waitFor(r, name, 1)
	}
	stop()
	foreign, err := pgtest.Pool(t, s.db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	_, err = foreign.Exec(t.Context(), `select from phantom.projection_checkpoint where tenant_id = 'locked' for update`)
	require.NoError(t, err)
	heads := map[string]int64{}
	for _, name := range names { // all there before a runner looks
		heads[name] = s.appendTo(name, "good", good(3)...)
		heads[name] = s.appendTo(name, "bad", "x")
	}
	heads["poisoned"] = s.appendTo("poisoned", "bad", "poison", "y")
	again := s.runner(p)
	s.start(again)
	for _, name := range []string{"a", "parked", "poisoned", "z"} {
		s.waitFor(again, name, heads[name])
	}
	require.Equal(t, 5, s.counted("a", 1))
	require.Equal(t, 5, s.counted("z", 1))
	require.Equal(t, 4, s.counted("parked", 1), "what waits behind the parked one waits")
	require.EqualValues(t, 2, s.status(again).Of("parked").Parked)
	require.Equal(t, 5, s.counted("poisoned", 1))
	require.EqualValues(t, 2, s.status(again).Of("poisoned").Parked)
	require.Equal(t, 1, s.counted("locked", 1))
	require.NoError(t, foreign.Rollback(t.Context()))
	s.waitFor(again, "locked", heads["locked"])
	require.Equal(t, 5, s.counted("locked", 1))
}
