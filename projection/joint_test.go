package projection_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

// careless names no tenant when it writes.
type careless struct{ tally }

func (p *careless) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	seen := 0
	ask.Queue(`select count(*) from phantom.tally where generation = $1`, generation).QueryRow(func(row pgx.Row) error {
		return row.Scan(&seen)
	})
	write, err := p.tally.Apply(ask, generation, events)
	return func(rows *projection.Rows) error {
		if err := write(rows); err != nil {
			return err
		}
		if string(events[0].EventData) == `"all"` {
			rows.Queue(`update phantom.tally set times = $1`, 100+seen)
		}
		return nil
	}, err
}

// In a transaction that many tenants share, each sees and changes its own rows alone.
func TestTenantsOfOneTransactionAreApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	counts := &advances{}
	p := &careless{}
	names := []string{"a", "b", "c", "d"}
	for i, name := range names {
		s.append(name, good(i+1)...)
	}
	run := func() *projection.Runner {
		return s.runner(p, func(p *projection.Params) {
			p.Pool = s.tuned(func(c *pgxpool.Config) { c.ConnConfig.Tracer = counts })
		})
	}
	first := run()
	stop := s.start(first)
	for i, name := range names {
		s.waitFor(first, name, int64(i+1))
	}
	stop()
	heads := map[string]int64{}
	for _, name := range names[1:3] {
		heads[name] = s.append(name, "all")
	}
	heads["a"], heads["d"] = s.append("a", "x"), s.append("d", "x")
	counts.mu.Lock()
	counts.calls = 0
	counts.mu.Unlock()
	second := run()
	s.start(second)
	for name, head := range heads {
		s.waitFor(second, name, head)
	}
	counts.mu.Lock()
	require.Equal(t, 1, counts.calls, "all in one transaction")
	counts.mu.Unlock()
	require.Equal(t, map[int]int{1: 2}, s.times("a"))
	require.Equal(t, map[int]int{102: 3}, s.times("b"), "it saw its own two rows")
	require.Equal(t, map[int]int{103: 4}, s.times("c"))
	require.Equal(t, map[int]int{1: 5}, s.times("d"))
}

// wholly looks its rows up together with other tenants, and writes whole ones; "theirs" would be another tenant's.
type wholly struct{ tally }

type tallyRow struct {
	TenantID   string `json:"tenant_id"`
	Generation int    `json:"generation"`
	Position   int64  `json:"position"`
	Times      int64  `json:"times"`
}

func (r tallyRow) Tenant() string { return r.TenantID }

func (p *wholly) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	tenant, seen := events[0].TenantID, int64(0)
	ask.LookUp(projection.LookUp{
		SQL: `select k.tenant, t.position from ` + projection.NamedKeys + ` k cross join lateral (
			select * from phantom.tally r where r.tenant_id = k.tenant and r.generation = $2 and r.times::text = k.id offset 0) t`,
		Tenant: tenant, Generation: generation, Keys: []string{"1000"},
		Take: func(pgx.CollectableRow) error { seen++; return nil },
	})
	return func(rows *projection.Rows) error {
		var all []tallyRow
		for _, e := range events {
			row := tallyRow{tenant, generation, e.Position, 1000}
			if string(e.EventData) == `"theirs"` {
				row.TenantID = "b"
			}
			all = append(all, row)
		}
		var ended []tallyRow
		if seen > 0 {
			ended = append(ended, tallyRow{tenant, generation, 1, 1000 + seen})
		}
		return projection.Store(rows, `insert into phantom.tally select * from `+projection.NamedRows("phantom.tally")+`
			on conflict (tenant_id, generation, position) do update set times = excluded.times`, ended, all)
	}, nil
}

// What one statement looks up and writes for many tenants is of each its own.
func TestWholeRowsOfManyTenantsAreApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := &wholly{}
	names := []string{"a", "b", "c"}
	heads := map[string]int64{}
	for i, name := range names {
		heads[name] = s.append(name, good(i+1)...)
	}
	counts := &advances{}
	run := func() *projection.Runner {
		return s.runner(p, func(p *projection.Params) {
			p.Pool = s.tuned(func(c *pgxpool.Config) { c.ConnConfig.Tracer = counts })
		})
	}
	first := run()
	stop := s.start(first)
	for name, head := range heads {
		s.waitFor(first, name, head)
	}
	stop()
	for _, name := range names {
		heads[name] = s.append(name, "x")
	}
	counts.mu.Lock()
	counts.calls = 0
	counts.mu.Unlock()
	second := run()
	s.start(second)
	for name, head := range heads {
		s.waitFor(second, name, head)
	}
	counts.mu.Lock()
	require.Equal(t, 1, counts.calls, "all in one transaction")
	counts.mu.Unlock()
	s.waitFor(second, "a", s.append("a", "theirs"))
	require.Equal(t, map[int]int{1000: 1, 1001: 1}, s.times("a"), "its own row was seen, and the row for b was not made")
	require.Equal(t, map[int]int{1000: 2, 1002: 1}, s.times("b"))
	require.Equal(t, map[int]int{1000: 3, 1003: 1}, s.times("c"))
	require.Contains(t, s.parked(second, "a")[0].Error, `a row of tenant "b" for an event of tenant "a"`)
}

// times are how many of a tenant's rows hold how many times.
func (s *stage) times(tenant string) map[int]int {
	s.t.Helper()
	found := map[int]int{}
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
	batch.Queue(`select times, count(*) from phantom.tally group by times`).Query(func(rows pgx.Rows) error {
		var times, n int
		_, err := pgx.ForEachRow(rows, []any{&times, &n}, func() error { found[times] = n; return nil })
		return err
	})
	require.NoError(s.t, s.pool.SendBatch(s.t.Context(), &batch).Close())
	return found
}

// deaf is a connection that is lost when the server says that it has committed, so often as is left.
type deaf struct {
	net.Conn
	left *atomic.Int64
}

func (c *deaf) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if bytes.Contains(into[:n], []byte("COMMIT\x00")) && c.left.Add(-1) >= 0 {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// A commit whose answer is lost is found to have happened, by one tenant as by many.
func TestACommitWhoseAnswerIsLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, tenants := range map[string]int{"one": 1, "many": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			heads := map[string]int64{}
			for n := range tenants {
				tenant := fmt.Sprintf("tenant-%d", n)
				heads[tenant] = s.append(tenant, good(50)...)
			}
			var left atomic.Int64
			left.Store(5)
			r := s.runner(&tally{}, func(p *projection.Params) {
				p.Batch = 20
				p.Pool = s.tuned(func(c *pgxpool.Config) {
					c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
						return &deaf{conn, &left}, err
					}
				})
			})
			s.start(r)
			for tenant, head := range heads {
				s.waitFor(r, tenant, head)
				require.Equal(t, 50, s.counted(tenant, 1))
			}
			require.Negative(t, left.Load(), "answers were lost")
			require.Zero(t, s.status(r).Parked)
		})
	}
}

// storm is two runners of a projection whose connections die, and that are told this and that.
type storm struct {
	*stage

	runners [2]*projection.Runner
	random  *rand.Rand
	heads   map[string]int64
}

// kill ends a part of what the runners, and who appends, are about to do, until ctx ends.
func (s *storm) kill(ctx context.Context, admin *pgxpool.Pool) {
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for ctx.Err() == nil {
		_, _ = admin.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and usename <> current_user and state <> 'idle' and random() < 0.2`)
		<-ticks.C
	}
}

// append tries until it is done.
func (s *storm) append(tenant, stream string, data ...string) {
	for {
		if head, err := s.tryToWrite(tenant, stream, "Counted", data...); err == nil {
			s.heads[tenant] = head
			return
		}
	}
}

// steer tells the runners something, which may fail.
func (s *storm) steer(tenant string) {
	ctx, r := s.t.Context(), s.runners[s.random.IntN(2)]
	switch s.random.IntN(6) {
	case 0:
		s.append(tenant, "bad", "poison")
	case 1:
		_ = r.Rewind(ctx, "tally", tenant, 0)
	case 2:
		_, _ = r.Retry(ctx, "tally", tenant, eventstore.Stream{})
	case 3:
		_ = r.Pause(ctx, "tally", "a while")
		_ = r.Resume(ctx, "tally")
	case 4:
		_, _ = r.Rebuild(ctx, "tally", 0)
	default:
	}
}

// Two runners go through connections that die, rewinds, retries, pauses and rebuilds: each event counts once.
func TestJointTransactionsInAStorm(t *testing.T) {
	t.Parallel()
	p := &tally{}
	s := &storm{stage: newStage(t), random: rand.New(rand.NewPCG(1, 2)), heads: map[string]int64{}} //nolint:gosec // repeatable
	for i := range s.runners {
		s.runners[i] = s.runner(p, func(p *projection.Params) { p.Batch, p.Takeover = 3+20*i, 20*time.Millisecond })
		s.start(s.runners[i])
	}
	ctx, calm := context.WithCancel(t.Context())
	admin := pgtest.Pool(t, s.db.AdminURL)
	var killing sync.WaitGroup
	killing.Go(func() { s.kill(ctx, admin) })
	const tenants = 12
	for range 60 {
		for n := range tenants {
			if s.random.IntN(3) > 0 {
				s.append(fmt.Sprintf("tenant-%d", n), "s", good(1+s.random.IntN(5))...)
			}
		}
		s.steer(fmt.Sprintf("tenant-%d", s.random.IntN(tenants)))
	}
	calm()
	killing.Wait()
	p.cured.Store(true)
	r := s.runners[0]
	s.eventually(func() bool { return r.Resume(t.Context(), "tally") == nil }, "it goes on")
	for tenant, head := range s.heads {
		s.waitFor(r, tenant, head)
		s.eventually(func() bool {
			done, err := r.Retry(t.Context(), "tally", tenant, eventstore.Stream{})
			return err == nil && done.Parked == 0
		}, "all is applied")
	}
	generation := s.status(r).Generation
	for tenant, head := range s.heads {
		require.EqualValues(t, head, s.counted(tenant, generation), tenant)
	}
}
