package projection_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

// A supervisor acts on what it has read. What it read before somebody else's flip, or before the way back, must not flip
// again: it would take the way back away, or undo it. Nor does it sweep a rebuild that has a dropped one's number.
func TestALateSupervisorChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(5)...))
	_, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
	require.ErrorIs(t, r.LateFinish(t.Context(), "tally", 2), projection.ErrRefused)

	_, err = r.Back(t.Context(), "tally")
	require.NoError(t, err, "the way back is still there")
	require.ErrorIs(t, r.LateFinish(t.Context(), "tally", 2), projection.ErrRefused)
	status := s.status(r)
	require.Equal(t, 1, status.Generation)
	require.Equal(t, projection.Live, status.Generations[0].State)
	require.Equal(t, projection.Kept, status.Generations[1].State)
	require.NoError(t, r.LateSweep(t.Context(), "tally", 2, "a"))
	require.Equal(t, 5, s.counted("a", 2), "only what is dropped is swept")
}

// rebuilt rebuilds once more and waits for the flip.
func (s *stage) rebuilt(r *projection.Runner) (generation int) {
	s.t.Helper()
	generation, err := r.Rebuild(s.t.Context(), "tally", 0)
	require.NoError(s.t, err)
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == generation })
	return generation
}

// alone waits until the live generation is the only one.
func (s *stage) alone(r *projection.Runner) {
	s.t.Helper()
	s.until(r, "the others are gone", func(st projection.Status) bool { return len(st.Generations) == 1 })
}

// Who drops a rebuild drops that one: not what it has become meanwhile, nor another one.
func TestALateDropDropsNothingElse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(5)...))
	require.Equal(t, 2, s.rebuilt(r))
	_, err := r.Back(t.Context(), "tally")
	require.NoError(t, err)
	require.ErrorIs(t, r.LateDrop(t.Context(), "tally", 2, projection.Filling), projection.ErrRefused, "it is the way back now")
	require.Len(t, s.status(r).Generations, 2)

	_, err = r.Drop(t.Context(), "tally")
	require.NoError(t, err)
	s.alone(r)
	require.Equal(t, 3, s.rebuilt(r), "no number is given twice, whoever may still remember it")
}

// A rewind is of the generation that people see, or it is refused.
func TestALateRewindIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(5)...))
	s.rebuilt(r)
	require.ErrorIs(t, r.LateRewind(t.Context(), "tally", 1, "a", 0), projection.ErrRefused)
}

// While a projection is paused its generations stay as they are.
func TestALateSupervisorDoesNotFlipWhatIsPaused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	stop := s.start(r)
	s.eventually(s.runs, "it has begun")
	stop()
	generation, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	require.NoError(t, r.Pause(t.Context(), "tally", "nobody touches it"))
	require.ErrorIs(t, r.LateFinish(t.Context(), "tally", generation), projection.ErrRefused)
	require.Equal(t, 1, s.status(r).Generation)
	require.NoError(t, r.Resume(t.Context(), "tally"))
	require.NoError(t, r.LateFinish(t.Context(), "tally", generation))
}

// Nothing is written to a generation that is being dropped: who sweeps it may have been there already.
func TestALateRetryWritesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	r := s.runner(p)
	stop := s.start(r)
	s.waitFor(r, "a", s.append("a", "poison"))
	s.rebuilt(r)
	stop() // so nobody sweeps
	_, err := r.Drop(t.Context(), "tally")
	require.NoError(t, err)
	p.cured.Store(true)
	_, err = r.LateRetry(t.Context(), "tally", 1, "a")
	require.NoError(t, err)
	require.Zero(t, s.counted("a", 1))
}

// stuck holds a batch of one tenant in one generation, after its checkpoint has moved.
type stuck struct {
	tally

	generation int
	tenant     string
	entered    chan struct{}
	leave      chan struct{}
	over       <-chan struct{} // the test
}

func (p *stuck) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	write, err := p.tally.Apply(ask, generation, events)
	if err != nil || generation != p.generation || events[0].TenantID != p.tenant {
		return write, err
	}
	return func(rows *projection.Rows) error {
		close(p.entered)
		select {
		case <-p.leave:
		case <-p.over:
		}
		return write(rows)
	}, nil
}

// asks tells whether PostgreSQL knows of something that is so.
func (s *stage) asks(query string) func() bool {
	admin := pgtest.Pool(s.t, s.db.AdminURL)
	return func() bool {
		var so bool
		return admin.QueryRow(s.t.Context(), `select exists (`+query+`)`).Scan(&so) == nil && so
	}
}

// A generation that is dropped by a flip may have a batch under way, in a process that has not heard of it: the rows of
// that one go too.
func TestABatchUnderWayIsSweptToo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.runner(&tally{})
	stop := s.start(first)
	s.waitFor(first, "a", s.append("a", "x"))
	s.rebuilt(first)
	stop()
	p := &stuck{generation: 1, tenant: "new", entered: make(chan struct{}), leave: make(chan struct{}), over: t.Context().Done()}
	deaf := s.runner(p, func(p *projection.Params) {
		p.Steer = time.Hour
		p.Pool = s.tuned(func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = "deaf" })
	})
	s.start(deaf)
	s.append("new", "written to generation 1, and not committed")
	<-p.entered
	r := s.runner(&tally{})
	s.start(r)
	s.rebuilt(r)
	waits := s.asks(`select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and not granted
		and database = (select oid from pg_database where datname = current_database())`)
	gone := func() bool { return len(s.status(r).Generations) == 2 }
	s.eventually(func() bool { return waits() || gone() }, "the first generation is swept, but for the batch")
	close(p.leave)
	busy := s.asks(`select from pg_stat_activity where application_name = 'deaf' and state <> 'idle' and datname = current_database()`)
	s.eventually(func() bool { return !busy() && gone() }, "the batch is committed, and the generation gone")
	require.Zero(t, s.counted("new", 1))
	require.Equal(t, 1, s.counted("new", 3))
}
