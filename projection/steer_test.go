package projection_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

func TestPauseStopsAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, other := s.runner(&tally{}), s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(3)...))
	require.NoError(t, other.Pause(t.Context(), "tally", "a new index"), "another process steers")
	head := s.append("a", good(3)...)
	waiting, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := r.WaitFor(waiting, "tally", "a", head)
	require.ErrorIs(t, err, projection.ErrNotReached)
	require.ErrorContains(t, err, "it is paused since")
	require.ErrorContains(t, err, "a new index")
	require.Equal(t, 3, s.counted("a", 1))
	status := s.status(r)
	require.NotNil(t, status.PausedAt)
	require.Equal(t, "a new index", status.PauseReason)
	require.EqualValues(t, 3, status.Lag)

	require.NoError(t, other.Resume(t.Context(), "tally"))
	s.waitFor(r, "a", head)
	require.Equal(t, 6, s.counted("a", 1))
	require.Nil(t, s.status(r).PausedAt)
}

func TestRewindAppliesAgainFromThere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{}, func(p *projection.Params) { p.Batch = 4 })
	s.start(r)
	head := s.append("a", good(30)...)
	s.waitFor(r, "a", head)
	s.waitFor(r, "b", s.append("b", good(5)...))
	require.ErrorIs(t, r.Rewind(t.Context(), "tally", "a", 30), projection.ErrRefused)
	require.ErrorIs(t, r.Rewind(t.Context(), "tally", "a", -1), projection.ErrRefused)
	require.ErrorIs(t, r.Rewind(t.Context(), "tally", "nobody", 0), projection.ErrRefused)
	require.NoError(t, r.Pause(t.Context(), "tally", ""))
	require.NoError(t, r.Rewind(t.Context(), "tally", "a", 11))
	require.Equal(t, 11, s.counted("a", 1))
	require.Equal(t, 5, s.counted("b", 1))
	require.NoError(t, r.Resume(t.Context(), "tally"))
	s.waitFor(r, "a", head)
	require.Equal(t, 30, s.counted("a", 1))
	require.NoError(t, r.Rewind(t.Context(), "tally", "a", 0)) // under the running loop
	s.waitFor(r, "a", head)
	require.Equal(t, 30, s.counted("a", 1))
}

// A tenant that rewinds and rewinds takes no time from others: the loop that all share begins again once for many.
func TestManyRewindsDisturbNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(3)...))
	epoch := func() (epoch int) {
		row := s.pool.QueryRow(t.Context(), `select epoch from phantom.projection_build where projection = 'tally'`)
		require.NoError(t, row.Scan(&epoch))
		return epoch
	}
	before := epoch()
	for i := range 10 {
		require.NoError(t, r.Rewind(t.Context(), "tally", "a", 0))
		s.waitFor(r, "b", s.append("b", "x"))
		if i < 9 { // what is rewound has its checkpoint moved by the next event
			s.waitFor(r, "a", s.append("a", "x"))
		}
	}
	s.waitFor(r, "a", 12)
	require.Equal(t, 12, s.counted("a", 1))
	require.LessOrEqual(t, epoch()-before, 4)
}

func (s *stage) until(r *projection.Runner, what string, holds func(projection.Status) bool) projection.Status {
	s.t.Helper()
	var status projection.Status
	s.eventually(func() bool {
		status = s.status(r)
		return holds(status)
	}, what)
	return status
}

func TestARebuildFlipsComesBackAndIsDropped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{}, func(p *projection.Params) { p.Batch = 5 }) // so many pass before the throttle holds them
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(50)...))
	s.waitFor(r, "b", s.append("b", good(5)...))
	_, err := r.Back(t.Context(), "tally")
	require.ErrorIs(t, err, projection.ErrRefused)
	_, err = r.Drop(t.Context(), "tally")
	require.ErrorIs(t, err, projection.ErrRefused)

	generation, err := r.Rebuild(t.Context(), "tally", 20)
	require.NoError(t, err)
	require.Equal(t, 2, generation)
	_, err = r.Rebuild(t.Context(), "tally", 0)
	require.ErrorIs(t, err, projection.ErrRefused)
	filling := s.until(r, "it is filled", func(st projection.Status) bool { return len(st.Generations) == 2 })
	require.Equal(t, projection.Filling, filling.Generations[1].State)
	require.Equal(t, 20, *filling.Generations[1].Throttle)
	require.NotNil(t, filling.Generations[1].Rate)
	require.NoError(t, r.Throttle(t.Context(), "tally", 0))
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
	require.Equal(t, 50, s.counted("a", 2))

	head := s.append("a", good(7)...) // both are applied
	s.waitFor(r, "a", head)
	began := time.Now()
	generation, err = r.Back(t.Context(), "tally")
	require.NoError(t, err)
	require.Less(t, time.Since(began), time.Second)
	require.Equal(t, 1, generation)
	s.waitFor(r, "a", head)
	require.Equal(t, 57, s.counted("a", 1))

	generation, err = r.Drop(t.Context(), "tally")
	require.NoError(t, err)
	require.Equal(t, 2, generation)
	status := s.until(r, "it is dropped", func(st projection.Status) bool { return len(st.Generations) == 1 })
	require.Equal(t, projection.Live, status.Generations[0].State)
	require.Zero(t, s.counted("a", 2))
	require.Zero(t, s.counted("b", 2))
	s.waitFor(r, "a", s.append("a", "x"))
	require.Equal(t, 58, s.counted("a", 1))
	require.Zero(t, s.counted("a", 2))
}

// A rebuild that would show less than what is shown now does not go live before its events are retried.
func TestARebuildThatParksMoreDoesNotGoLive(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	p.cured.Store(true)
	r := s.runner(p)
	s.start(r)
	head := s.append("a", "x", "poison", "y")
	s.waitFor(r, "a", head)
	p.cured.Store(false)
	_, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	status := s.until(r, "it hides events", func(st projection.Status) bool {
		return len(st.Generations) == 2 && *st.Generations[1].Hidden == 2
	})
	require.Equal(t, 1, status.Generation)
	s.waitFor(r, "a", s.append("a", "z"))
	require.Equal(t, 1, s.status(r).Generation)
	require.Equal(t, 4, s.counted("a", 1))
	p.cured.Store(true)
	_, err = r.Retry(t.Context(), "tally", "a", eventstore.Stream{})
	require.NoError(t, err)
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
	require.Equal(t, 4, s.counted("a", 2))
}

// Runners that come, go and overlap, and pauses in the middle, apply nothing twice.
func TestThousandDoubleRunsAndPauses(t *testing.T) {
	t.Parallel()
	const rounds = 1000 // each a double run and a pause
	s := newStage(t)
	quick := func(p *projection.Params) {
		p.Batch, p.Steer, p.Sweep, p.Takeover = 3, time.Millisecond, time.Millisecond, time.Millisecond
	}
	lasting := s.runner(&tally{}, quick)
	s.start(lasting)
	heads := map[string]int64{}
	for round := range rounds {
		tenant := []string{"a", "b"}[round%2]
		heads[tenant] = s.append(tenant, "1", "2", "3", "4")
		s.passingRun(s.runner(&tally{}, quick), func() {
			require.NoError(t, lasting.Pause(t.Context(), "tally", ""))
			require.NoError(t, lasting.Resume(t.Context(), "tally"))
		})
	}
	for tenant, head := range heads {
		s.waitFor(lasting, tenant, head)
		require.EqualValues(t, head, s.counted(tenant, 1))
	}
}

// passingRun runs a runner beside the others until something is done meanwhile and a runner has taken over.
func (s *stage) passingRun(r *projection.Runner, meanwhile func()) {
	s.t.Helper()
	before := s.epoch()
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	meanwhile()
	require.Eventually(s.t, func() bool { return s.epoch() > before }, limit, time.Millisecond)
	cancel()
	running.Wait()
}

// gated waits in one generation until it may go on.
type gated struct {
	tally

	generation int
	gate       chan struct{}
	over       <-chan struct{} // the test
}

func (p *gated) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	write, err := p.tally.Apply(ask, generation, events)
	if err != nil || generation != p.generation {
		return write, err
	}
	return func(rows *projection.Rows) error {
		select {
		case <-p.gate:
		case <-p.over:
		}
		return write(rows)
	}, nil
}

// While a generation is put in the place of the live one, the live one stands still, so nobody sees it ahead of what
// follows.
func TestTheLiveGenerationStandsStillForAFlip(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &gated{generation: 1, gate: make(chan struct{}, 1), over: t.Context().Done()}
	p.gate <- struct{}{}
	r := s.runner(p)
	s.start(r)
	s.waitFor(r, "a", s.append("a", "x"))
	_, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
	s.waitFor(r, "a", s.append("a", "seen by generation 2 alone"))
	flipped := make(chan error, 1)
	go func() {
		err := error(&projection.Refused{})
		for errors.Is(err, projection.ErrRefused) { // it does not wait long for the gate
			_, err = r.Back(t.Context(), "tally")
		}
		flipped <- err
	}()
	admin := pgtest.Pool(t, s.db.AdminURL)
	waits := func() bool {
		var there bool
		err := admin.QueryRow(t.Context(), `select exists (select from pg_locks where locktype = 'advisory' and mode = 'ShareLock'
			and not granted and database = (select oid from pg_database where datname = current_database()))`).Scan(&there)
		return err == nil && there
	}
	head := int64(2)
	s.eventually(func() bool {
		head = s.append("a", "while it stands still")
		return waits()
	}, "the loop of the live generation waits")
	close(p.gate)
	require.NoError(t, <-flipped)
	require.Equal(t, 1, s.status(r).Generation)
	s.waitFor(r, "a", head)
	s.eventually(func() bool { return s.counted("a", 1) == int(head) && s.counted("a", 2) == int(head) }, "both have seen it")
}
