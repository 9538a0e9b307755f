package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

// limit is far more than a test needs; who reaches it hangs.
const limit = 20 * time.Second

// stage is a database with a log and a table that a projection writes.
type stage struct {
	t     *testing.T
	db    *pgtest.Database
	pool  *pgxpool.Pool
	store *eventstore.Store
}

const tallyTable = `
create table phantom.tally (
	tenant_id text not null,
	generation integer not null,
	position bigint not null,
	times integer not null default 1,
	primary key (tenant_id, generation, position)
);
alter table phantom.tally enable row level security, force row level security;
create policy tally_tenant on phantom.tally to phantom_serving
	using (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
grant select, insert, update, delete on phantom.tally to phantom_serving`

func newStage(t *testing.T) *stage {
	t.Helper()
	db := pgtest.New(t)
	_, err := pgtest.Pool(t, db.OwnerURL).Exec(t.Context(), tallyTable)
	require.NoError(t, err)
	pool := db.Pool(t)
	return &stage{t: t, db: db, pool: pool, store: eventstore.New(pool)}
}

// tally counts how often each event of type Counted was applied. It is poisoned by the data "poison",
// until it is cured.
type tally struct {
	cured atomic.Bool
	// broken makes the data "missing" ask for a table that is not there, as a schema that is behind does.
	broken atomic.Bool
	// applied hears of the positions in the order of their application, if set; also of what is rolled back.
	applied func(position int64)
	// entered and leave, if set, hold a batch in its middle: the checkpoint has moved, nothing is committed.
	entered chan struct{}
	leave   chan struct{}
}

func (*tally) Name() string        { return "tally" }
func (*tally) Log() eventstore.Log { return eventstore.Lifecycle }
func (*tally) Types() []string     { return []string{"Counted"} }
func (*tally) Prompt() bool        { return true }

func (*tally) Tables() []projection.Table {
	return []projection.Table{{Name: "tally", Kind: projection.Appended}}
}

// Group is what stands before the slash of a stream's id.
func (*tally) Group(e eventstore.Event) string {
	group, _, _ := strings.Cut(e.AggregateID, "/")
	return group
}

func (p *tally) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	for _, e := range events {
		if string(e.EventData) == `"poison"` && !p.cured.Load() {
			return nil, errors.New("it is poison")
		}
		if string(e.EventData) == `"missing"` && p.broken.Load() {
			ask.Queue(`select * from phantom.not_there`)
		}
	}
	return func(rows *projection.Rows) error {
		for _, e := range events {
			if p.applied != nil {
				p.applied(e.Position)
			}
			rows.Queue(`insert into phantom.tally as t (tenant_id, generation, position)
				values ($1, $2, $3) on conflict (tenant_id, generation, position) do update set times = t.times + 1`,
				e.TenantID, generation, e.Position)
		}
		if p.entered != nil {
			p.entered <- struct{}{}
			<-p.leave
		}
		return nil
	}, nil
}

// tuned is a pool as the stage's, changed.
func (s *stage) tuned(change func(*pgxpool.Config)) *pgxpool.Pool {
	s.t.Helper()
	return pgtest.Tuned(s.t, s.db.ServingURL, func(settings *pgxpool.Config) {
		settings.MaxConns = s.pool.Config().MaxConns
		change(settings)
	})
}

// appendTo writes events of type Counted to a stream.
func (s *stage) appendTo(tenant, stream string, data ...string) int64 {
	s.t.Helper()
	return s.write(tenant, stream, "Counted", data...)
}

// append writes events of type Counted with the data given, and answers with the tenant's head.
func (s *stage) append(tenant string, data ...string) int64 {
	s.t.Helper()
	return s.appendType(tenant, "Counted", data...)
}

func (s *stage) appendType(tenant, eventType string, data ...string) int64 {
	s.t.Helper()
	return s.write(tenant, "a", eventType, data...)
}

func (s *stage) write(tenant, stream, eventType string, data ...string) int64 {
	s.t.Helper()
	head, err := s.tryToWrite(tenant, stream, eventType, data...)
	require.NoError(s.t, err)
	return head
}

func (s *stage) tryToWrite(tenant, stream, eventType string, data ...string) (int64, error) {
	s.t.Helper()
	events := make([]eventstore.NewEvent, 0, len(data))
	for _, text := range data {
		raw, err := json.Marshal(text)
		require.NoError(s.t, err)
		events = append(events, eventstore.NewEvent{
			ID: uuid.New(), Type: eventType, Version: 1, Data: raw, Metadata: json.RawMessage(`{}`), OccurredAt: time.Now(),
		})
	}
	done, err := s.store.Append(s.t.Context(), tenant, eventstore.Lifecycle, []eventstore.Append{
		{Stream: eventstore.Stream{Type: "Thing", ID: stream}, Events: events},
	}, nil)
	if err != nil {
		return 0, err
	}
	return done[0].Position, nil
}

func good(n int) []string {
	data := make([]string, n)
	for i := range data {
		data[i] = fmt.Sprint("good ", i)
	}
	return data
}

func (s *stage) runner(p projection.Projection, change ...func(*projection.Params)) *projection.Runner {
	s.t.Helper()
	params := projection.Params{
		Pool: s.pool, Feed: s.store, Projections: []projection.Projection{p},
		Steer: 10 * time.Millisecond, Sweep: 10 * time.Millisecond, Takeover: 50 * time.Millisecond,
	}
	for _, c := range change {
		c(&params)
	}
	r, err := projection.NewRunner(params)
	require.NoError(s.t, err)
	return r
}

// start runs the runner until the answer is called or the test ends; both wait for its end.
func (s *stage) start(r *projection.Runner) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		if once.CompareAndSwap(false, true) {
			cancel()
			require.NoError(s.t, <-ended)
		}
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *stage) waitFor(r *projection.Runner, tenant string, position int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	require.NoError(s.t, r.WaitFor(ctx, "tally", tenant, position))
}

// counted is how many events of a tenant were applied in the generation; each must have been once.
func (s *stage) counted(tenant string, generation int) int {
	s.t.Helper()
	var rows, twice int
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
	batch.Queue(`select count(*), count(*) filter (where times <> 1) from phantom.tally where generation = $1`,
		generation).QueryRow(func(row pgx.Row) error { return row.Scan(&rows, &twice) })
	require.NoError(s.t, s.pool.SendBatch(s.t.Context(), &batch).Close())
	require.Zero(s.t, twice, "events of %s were applied more than once", tenant)
	return rows
}

func (s *stage) eventually(condition func() bool, what string) {
	s.t.Helper()
	require.Eventually(s.t, condition, limit, 5*time.Millisecond, what)
}
