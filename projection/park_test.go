package projection_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/projection"
)

// positions are what was applied, in order.
type positions struct {
	mu  sync.Mutex
	all []int64
}

func (p *positions) add(position int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, position)
}

func (p *positions) since(n int) []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[n:])
}

func (s *stage) parked(r *projection.Runner, tenant string) []projection.ParkedStream {
	s.t.Helper()
	found, err := r.Parked(s.t.Context(), "tally", tenant, 0, 100)
	require.NoError(s.t, err)
	return found
}

func (s *stage) status(r *projection.Runner) projection.Status {
	s.t.Helper()
	status, err := r.Status(s.t.Context(), "tally")
	require.NoError(s.t, err)
	return status
}

// A poison event parks its stream and what depends on it; the rest flows on, and a retry applies what is parked in order.
func TestAPoisonEventParksItsGroupAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	order := &positions{}
	p := &tally{applied: order.add}
	r := s.runner(p)
	s.start(r)
	s.appendTo("sick", "a", "fine", "fine", "poison", "after") // 1 to 4
	s.appendTo("sick", "b", good(20)...)                       // 5 to 24
	s.appendTo("sick", "a/child", "depends")                   // 25
	last := s.appendTo("sick", "b", good(20)...)               // 26 to 45
	healthy := s.append("well", good(10)...)
	s.waitFor(r, "sick", last)
	s.waitFor(r, "well", healthy)
	require.Equal(t, 42, s.counted("sick", 1))
	require.Equal(t, 10, s.counted("well", 1))

	status := s.status(r)
	require.Zero(t, status.Lag, "nobody is behind")
	require.EqualValues(t, 3, status.Parked)
	require.Zero(t, status.Of("well").Parked)
	parked := s.parked(r, "sick")
	require.Len(t, parked, 2)
	require.Equal(t, "a", parked[0].AggregateID)
	require.EqualValues(t, 3, parked[0].Position)
	require.EqualValues(t, 2, parked[0].Count)
	require.Equal(t, "it is poison", parked[0].Error)
	require.NotZero(t, parked[0].Since)
	require.Equal(t, "a/child", parked[1].AggregateID)
	require.Equal(t, "waits behind event 3 (Counted of Thing a)", parked[1].Error)
	require.Empty(t, s.parked(r, "well"))

	again, err := r.Retry(t.Context(), "tally", "sick", eventstore.Stream{})
	require.NoError(t, err)
	require.Equal(t, projection.Retried{Parked: 3, Errors: []string{"event 3: it is poison"}}, again)
	s.waitFor(r, "sick", s.appendTo("sick", "a", "later")) // 46, behind the others

	p.cured.Store(true)
	before := len(order.since(0))
	again, err = r.Retry(t.Context(), "tally", "sick", eventstore.Stream{Type: "Thing", ID: "a"})
	require.NoError(t, err)
	require.Equal(t, projection.Retried{Applied: 4, Errors: []string{}}, again)
	require.Equal(t, []int64{3, 4, 25, 46}, order.since(before))
	require.Empty(t, s.parked(r, "sick"))
	s.waitFor(r, "sick", s.appendTo("sick", "a", "flows"))
	require.Equal(t, 47, s.counted("sick", 1))
}

// A retry that meets another poison keeps what stands behind it parked.
func TestARetryStopsAtTheNextPoison(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	p.broken.Store(true)
	r := s.runner(p)
	s.start(r)
	s.waitFor(r, "a", s.append("a", append([]string{"poison"}, good(9)...)...))
	require.EqualValues(t, 10, s.status(r).Parked)
	s.waitFor(r, "a", s.append("a", "missing", "x"))
	p.cured.Store(true)
	_, err := r.Retry(t.Context(), "tally", "a", eventstore.Stream{})
	require.ErrorContains(t, err, "not_there", "what is no event's fault ends the retry")
	require.EqualValues(t, 12, s.status(r).Parked)
	p.broken.Store(false)
	again, err := r.Retry(t.Context(), "tally", "a", eventstore.Stream{})
	require.NoError(t, err)
	require.Equal(t, projection.Retried{Applied: 12, Errors: []string{}}, again)
	require.Equal(t, 12, s.counted("a", 1))
}

// A table that is missing is no event's fault: it parks nothing, and stops its tenant until it is there.
func TestWhatIsNoEventsFaultNeverParks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	p.broken.Store(true)
	r := s.runner(p)
	s.start(r)
	last := s.append("a", "x", "missing", "y")
	s.waitFor(r, "b", s.append("b", good(3)...))
	s.eventually(func() bool { return s.status(r).Of("a").Tenants[0].StoppedAt != nil }, "the status says why")
	status := s.status(r).Of("a")
	require.Zero(t, status.Parked)
	require.Contains(t, status.LastError, "not_there")
	require.EqualValues(t, 1, status.Tenants[0].Position)
	p.broken.Store(false)
	s.waitFor(r, "a", last)
	require.Equal(t, 3, s.counted("a", 1))
}

// wild panics at what the tally cannot apply.
type wild struct{ tally }

func (p *wild) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	write, err := p.tally.Apply(ask, generation, events)
	if err != nil {
		panic(err)
	}
	return write, nil
}

func TestAPanicParksToo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&wild{})
	s.start(r)
	s.appendTo("a", "bad", "poison")
	s.waitFor(r, "a", s.appendTo("a", "other", "x"))
	require.Equal(t, 1, s.counted("a", 1))
	require.Equal(t, "it panics: it is poison", s.parked(r, "a")[0].Error)
}

// bewildered panics at the answer to what it asks.
type bewildered struct{ tally }

func (*bewildered) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	for _, e := range events {
		if string(e.EventData) == `"poison"` {
			ask.Queue(`select 1`).Query(func(pgx.Rows) error { panic("it is poison") })
		}
	}
	calm := &tally{}
	calm.cured.Store(true)
	return calm.Apply(ask, generation, events)
}

// A panic over an answer parks like one over an event, and is told to who tries again.
func TestAPanicOverAnAnswerParksToo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&bewildered{})
	s.appendTo("a", "bad", "poison")
	last := s.appendTo("a", "other", "x")
	s.append("b", good(3)...)
	s.start(r)
	s.waitFor(r, "a", last)
	s.waitFor(r, "b", 3)
	require.Equal(t, 1, s.counted("a", 1))
	require.Equal(t, "it panics: it is poison", s.parked(r, "a")[0].Error)
	again, err := r.Retry(t.Context(), "tally", "a", eventstore.Stream{})
	require.NoError(t, err)
	require.Equal(t, []string{"event 1: it panics: it is poison"}, again.Errors)
}

// lost panics when it is asked with what an event is parked.
type lost struct{ tally }

func (p *lost) Group(e eventstore.Event) string {
	if string(e.EventData) == `"odd"` {
		panic("it belongs\x00 nowhere")
	}
	return p.tally.Group(e)
}

// Where nobody knows with what an event is parked, its tenant stops there, and the status says why; the others go on.
func TestAPanicOverAGroupStopsItsTenant(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&lost{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", "poison"))
	s.append("a", "odd")
	s.waitFor(r, "b", s.append("b", good(3)...))
	s.eventually(func() bool {
		tenant := s.status(r).Of("a").Tenants
		return len(tenant) > 0 && tenant[0].StoppedAt != nil
	}, "the status says why")
	require.Contains(t, s.status(r).Of("a").LastError, "it panics: it belongs nowhere")
	require.EqualValues(t, 1, s.status(r).Of("a").Tenants[0].Position)
}

// spare has no rows for events that mean nothing.
type spare struct{ tally }

func (p *spare) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	means := func(e eventstore.Event) bool { return string(e.EventData) != `"nothing"` }
	if !slices.ContainsFunc(events, means) {
		return nil, nil
	}
	return p.tally.Apply(ask, generation, events)
}

// What is parked does not depend on how events were batched, so a rebuild parks what the live generation has parked.
func TestWhatHasNoRowsWaitsBehindAParkedEventToo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&spare{})
	s.start(r)
	s.waitFor(r, "a", s.appendTo("a", "bad", "poison"))
	s.waitFor(r, "a", s.appendTo("a", "bad", "nothing"))
	s.waitFor(r, "a", s.append("a", good(3)...))
	require.EqualValues(t, 2, s.status(r).Parked)
	_, err := r.Rebuild(t.Context(), "tally", 0)
	require.NoError(t, err)
	s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == 2 })
	require.EqualValues(t, 2, s.status(r).Parked)
}

// Parked state survives the runner; a second one parks on.
func TestWhatIsParkedStaysParkedAfterARestart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	first := s.runner(p)
	stop := s.start(first)
	s.waitFor(first, "a", s.append("a", "poison"))
	stop()
	p.cured.Store(true) // mended, but what is parked is not overtaken
	second := s.runner(p)
	s.start(second)
	s.waitFor(second, "a", s.append("a", "later"))
	require.Zero(t, s.counted("a", 1))
	require.EqualValues(t, 2, s.status(second).Parked)
	_, err := second.Retry(t.Context(), "tally", "a", eventstore.Stream{})
	require.NoError(t, err)
	require.Equal(t, 2, s.counted("a", 1))
}

// A retry is content with one connection: with two of a small pool, each waits for the other's second one.
func TestARetryTakesOneConnection(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &tally{}
	r := s.runner(p)
	stop := s.start(r)
	s.waitFor(r, "a", s.append("a", append([]string{"poison"}, good(9)...)...))
	stop()
	p.cured.Store(true)
	one := s.tuned(func(c *pgxpool.Config) { c.MaxConns = 1 })
	ctx, cancel := context.WithTimeout(t.Context(), limit/2)
	defer cancel()
	again := s.runner(p, func(p *projection.Params) { p.Pool, p.Feed, p.Batch = one, eventstore.New(one), 4 })
	done, err := again.Retry(ctx, "tally", "a", eventstore.Stream{})
	require.NoError(t, err)
	require.Equal(t, projection.Retried{Applied: 10, Errors: []string{}}, done)
}
