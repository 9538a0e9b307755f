package readmodel_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
)

// asked remembers the questions that a pool was asked, to look at their plans.
type asked struct {
	mu        sync.Mutex
	questions []pgx.TraceBatchQueryData
}

func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, question pgx.TraceQueryStartData) context.Context {
	a.add(pgx.TraceBatchQueryData{SQL: question.SQL, Args: question.Args})
	return ctx
}

func (*asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*asked) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (*asked) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (a *asked) TraceBatchQuery(_ context.Context, _ *pgx.Conn, question pgx.TraceBatchQueryData) {
	a.add(question)
}

func (a *asked) add(question pgx.TraceBatchQueryData) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.questions = append(a.questions, question)
}

// node is what a plan tells of one of its steps, under the names that PostgreSQL gives.
//
//nolint:tagliatelle // They are not ours.
type node struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []node  `json:"Plans"`
}

// read is how many rows of the table were looked at.
func (n node) read(table string) float64 {
	var rows float64
	if n.Table == table {
		rows = (n.Rows + n.Removed) * n.Loops
	}
	for _, part := range n.Plans {
		rows += part.read(table)
	}
	return rows
}

// The curves of a job are read without those of the tenant's other jobs.
func TestCurvesReadTheRowsOfOneJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", nil)
	job := domain.JobID(uuid.NewString())
	w.start("digits", job)
	h.catchUp(1, 100)
	var fill pgx.Batch
	fill.Queue(`select set_config('phantom.tenant', 'acme', true)`)
	fill.Queue(`insert into phantom.training_progress
		select 'acme', 1, 'digits', case when n <= 10 then $1 else 'job-' || n % 200 end, n, n, n, 1, '{"loss": 1}', now()
		from generate_series(1, 20000) n`, job)
	require.NoError(t, h.pool.SendBatch(t.Context(), &fill).Close())
	_, err := pgtest.Pool(t, h.db.OwnerURL).Exec(t.Context(), "analyze phantom.training_progress")
	require.NoError(t, err)

	seen := &asked{}
	pool := pgtest.Tuned(t, h.db.ServingURL, func(settings *pgxpool.Config) { settings.ConnConfig.Tracer = seen })
	curves, err := readmodel.NewReader(pool).TrainingCurves(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Len(t, curves, 1)
	require.Len(t, curves[0].Points, 10)

	looked := 0
	for _, question := range seen.questions {
		if !strings.Contains(question.SQL, "training_progress") {
			continue
		}
		var plan []byte
		var explain pgx.Batch
		explain.Queue(`select set_config('phantom.tenant', 'acme', true)`)
		explain.Queue("explain (analyze, format json) "+question.SQL, question.Args...).
			QueryRow(func(row pgx.Row) error { return row.Scan(&plan) })
		require.NoError(t, h.pool.SendBatch(t.Context(), &explain).Close())
		var steps []struct{ Plan node }
		require.NoError(t, json.Unmarshal(plan, &steps))
		require.LessOrEqual(t, steps[0].Plan.read("training_progress"), 20.0, "%s\n%s", question.SQL, plan)
		looked++
	}
	require.Equal(t, 2, looked, "the job's last progress, and its curves")
}

// watched tells which indexes, and how many rows of its tables, a projection has read.
type watched struct {
	projection.Projection

	t *testing.T
}

const readInTransactionSQL = `
select c.relname, i.relname, i.relname !~ '_(pkey|current|serving|by_job|by_id)$' and pg_stat_get_xact_numscans(i.oid) > 0,
	pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid)
from pg_class c
join pg_index x on x.indrelid = c.oid
join pg_class i on i.oid = x.indexrelid
where c.relnamespace = 'phantom'::regnamespace and c.relname = any ($1)`

func (p watched) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	write, err := p.Projection.Apply(ask, generation, events)
	if write == nil {
		return nil, err
	}
	return func(rows *projection.Rows) error {
		if err := write(rows); err != nil {
			return err
		}
		var tables []string
		for _, table := range p.Tables() {
			tables = append(tables, table.Name)
		}
		rows.Queue(readInTransactionSQL, tables).Query(func(rows pgx.Rows) error { return p.judge(rows, len(events)) })
		return nil
	}, nil
}

func (p watched) judge(rows pgx.Rows, events int) error {
	var table, index string
	var listing bool
	var read int64
	_, err := pgx.ForEachRow(rows, []any{&table, &index, &listing, &read}, func() error {
		if listing {
			p.t.Errorf("%s looks its rows up by %s, which is for lists", p.Name(), index)
		}
		if read > 20 {
			p.t.Errorf("%s reads %d rows of %s for %d events", p.Name(), read, table, events)
		}
		return nil
	})
	return err
}

// An event costs what it changes, however much the tenant has, and whatever the planner knows of that: nothing, here.
func TestAnEventCostsWhatItChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", map[string]string{"team": "vision"})
	w.train("digits", 0.9)
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 100}})
	h.catchUp(1, 100)
	var fill pgx.Batch
	fill.Queue(`select set_config('phantom.tenant', 'acme', true)`)
	for _, table := range []string{"model", "model_tag", "version", "training", "deployment", "rollout", "saga", "model_search"} {
		fill.Queue(`insert into phantom.` + table + ` select (jsonb_populate_record(t, jsonb_build_object('model_id', 'other-' || n,
			'saga_id', 'other-' || n, 'training_job_id', 'job-' || n, 'rollout_id', 'rollout-' || n))).*
			from phantom.` + table + ` t, generate_series(1, 500) n where t.model_id = 'digits'`)
	}
	require.NoError(t, h.pool.SendBatch(t.Context(), &fill).Close())

	w.do(domain.PromoteRollout{ModelID: "digits", RolloutID: rollout, Reason: "initial"})
	w.train("digits", 0.95)
	w.do(domain.AssignAlias{ModelID: "digits", Alias: "champion", Version: "1", Reason: "best"})
	text := "reads digits of post codes"
	w.do(domain.UpdateModelMetadata{ModelID: "digits", Description: &text})
	var projections []projection.Projection
	for _, p := range readmodel.Projections() {
		projections = append(projections, watched{p, t})
	}
	h.applied(3, projections...)
}
