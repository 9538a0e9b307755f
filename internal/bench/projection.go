package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
)

// How much is caught up with in a round: models with the events of their lives, and models where each event is a
// transaction of its own.
const (
	manyLives = 1000
	fewLives  = 25
	pageSize  = 500 // the runner's own
)

// catchUp is a projection that catches up with one tenant's log, into a generation of its own each time.
type catchingUp struct {
	world      *world
	projection projection.Projection
	tables     []string
	tenant     string
	events     int // that the projection wants
	generation int // the last one that was filled
}

// projectionRows fills the log once and lets projections catch up with it again and again.
func projectionRows(ctx context.Context, l *lab, w *world) error {
	const many, few = "many-lives", "few-lives"
	for tenant, models := range map[string]int{many: manyLives, few: fewLives} {
		if err := w.live(ctx, tenant, models); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	for _, p := range []struct {
		projection projection.Projection
		tables     []string
		wants      int
	}{
		{readmodel.Catalogue{}, []string{"model", "model_tag"}, lifeEvents - lifeEpochs - 1},
		{readmodel.Trainings{}, []string{"training", "training_progress"}, lifeEpochs + 4},
	} {
		c := &catchingUp{world: w, projection: p.projection, tables: p.tables, tenant: many, events: manyLives * p.wants}
		if err := l.catchesUp(ctx, c, fewLives*p.wants, few); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) catchesUp(ctx context.Context, c *catchingUp, fewEvents int, few string) error {
	filling := func(ctx context.Context, _ time.Duration) (sample, error) { return c.fill(ctx, pageSize) }
	pages, err := c.rows(ctx)
	if err != nil {
		return err
	}
	r := row{
		Name:    fmt.Sprintf("projection %s, catching up with %d events, %d a transaction", c.projection.Name(), c.events, pageSize),
		Against: "INSERT … SELECT of the same rows from JSON, as many a transaction", Floor: 0.5, Aim: 1,
		Note: "ours reads, decodes and folds the events, loads and ends rows, and moves the checkpoint",
	}
	writing := func(ctx context.Context, _ time.Duration) (sample, error) { return c.write(ctx, pages) }
	if err := l.compare(ctx, r, filling, writing); err != nil {
		return err
	}
	c.tenant, c.events = few, fewEvents
	r = row{
		Name: fmt.Sprintf("projection %s, catching up with %d events, %d a transaction", c.projection.Name(), c.events, pageSize), Against: "one transaction an event, of events that are read as many at a time",
		Floor: 3, Aim: 3,
	}
	single := func(ctx context.Context, _ time.Duration) (sample, error) { return c.fill(ctx, 1) }
	return l.compare(ctx, r, filling, single)
}

// anew is a projection whose rows are of a generation of their own, and whose checkpoints are too.
type anew struct {
	projection.Projection

	generation int
}

func (a anew) Name() string { return fmt.Sprintf("%s-%d", a.Projection.Name(), a.generation) }

func (a anew) Apply(ask *projection.Questions, _ int, events []eventstore.Event) (projection.Write, error) {
	return a.Projection.Apply(ask, a.generation, events)
}

// fill lets the projection catch up, with so many events a transaction.
func (c *catchingUp) fill(ctx context.Context, batch int) (sample, error) {
	c.generation++
	fresh := anew{c.projection, c.generation}
	feed := &oneTenant{store: c.world.store, tenant: c.tenant}
	heads, err := feed.Heads(ctx, fresh.Log())
	if err != nil {
		return sample{}, err
	}
	runner, err := projection.NewRunner(projection.Params{
		Pool: c.world.serving, Feed: feed, Batch: batch, Projections: []projection.Projection{fresh},
	})
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	var took time.Duration
	err = meanwhile(ctx, runner.Run, func(ctx context.Context) error {
		err := runner.WaitFor(ctx, fresh.Name(), c.tenant, heads[c.tenant])
		took = time.Since(begun)
		return err
	})
	if err != nil {
		return sample{}, fmt.Errorf("fill generation %d: %w", c.generation, err)
	}
	return c.sample(took), nil
}

// sample is a round; its time is the mean one of a thousand events.
func (c *catchingUp) sample(took time.Duration) sample {
	each := took * 1000 / time.Duration(c.events)
	return sample{PerSecond: float64(c.events) / took.Seconds(), P50: each, P99: each}
}

// page is the rows that a page of events leaves in each table, as JSON; their generation is left out.
type page []string

// rows fills a generation and reads what stands there, page by page. A row that a later page ends has its end already: the
// other side writes each row once.
func (c *catchingUp) rows(ctx context.Context) ([]page, error) {
	if _, err := c.fill(ctx, pageSize); err != nil {
		return nil, err
	}
	const ends = `select max(position) from (
			select position, (row_number() over (order by position) - 1) / $3 as page
			from lifecycle.events where tenant_id = $1 and event_type = any ($2)) as e
		group by page order by page`
	found, err := c.world.admin.Query(ctx, ends, c.tenant, c.projection.Types(), pageSize)
	if err != nil {
		return nil, err
	}
	through, err := pgx.CollectRows(found, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	pages := make([]page, len(through))
	after := int64(0)
	for i, until := range through {
		for _, table := range c.tables {
			var text string
			err := c.world.admin.QueryRow(ctx, fmt.Sprintf(`select coalesce(json_agg(to_jsonb(t) - 'generation'), '[]')::text
				from phantom.%s t where tenant_id = $1 and generation = $2 and %s > $3 and %[2]s <= $4`, table, placeOf(table)),
				c.tenant, c.generation, after, until).Scan(&text)
			if err != nil {
				return nil, fmt.Errorf("read the rows of %s: %w", table, err)
			}
			pages[i] = append(pages[i], text)
		}
		after = until
	}
	return pages, nil
}

func placeOf(table string) string {
	if table == "training_progress" {
		return "position"
	}
	return "from_position"
}

// write inserts the rows of all pages into a new generation, one statement a table and one transaction a page.
func (c *catchingUp) write(ctx context.Context, pages []page) (sample, error) {
	c.generation++
	statements := make([]string, len(c.tables))
	for i, table := range c.tables {
		statements[i] = fmt.Sprintf(`insert into phantom.%[1]s select * from json_populate_recordset(
			jsonb_populate_record(null::phantom.%[1]s, jsonb_build_object('generation', $2::int)), $1)`, table)
	}
	begun := time.Now()
	for _, p := range pages {
		var batch pgx.Batch
		batch.Queue(`select set_config('phantom.tenant', $1, true), set_config('synchronous_commit', 'off', true)`, c.tenant)
		for i, statement := range statements {
			batch.Queue(statement, p[i], c.generation)
		}
		if err := c.world.serving.SendBatch(ctx, &batch).Close(); err != nil {
			return sample{}, fmt.Errorf("write into %s: %w", strings.Join(c.tables, ", "), err)
		}
	}
	return c.sample(time.Since(begun)), nil
}

// oneTenant is a feed of one tenant's log. It reads pages of a fixed size, and hands them out as they are asked for: then
// who asks for one event at a time does not pay for a question each.
type oneTenant struct {
	store  *eventstore.Store
	tenant string
	read   []eventstore.Event
}

// Heads implements projection.Feed.
func (o *oneTenant) Heads(ctx context.Context, log eventstore.Log) (map[string]int64, error) {
	heads, err := o.store.Heads(ctx, log)
	return map[string]int64{o.tenant: heads[o.tenant]}, err
}

// ReadAfter implements projection.Feed.
func (o *oneTenant) ReadAfter(ctx context.Context, log eventstore.Log, cursors []eventstore.Cursor, types []string, limit int) ([]eventstore.Page, error) {
	after := cursors[0].After
	o.read = slices.DeleteFunc(o.read, func(e eventstore.Event) bool { return e.Position <= after })
	if len(o.read) == 0 {
		pages, err := o.store.ReadAfter(ctx, log, cursors, types, pageSize)
		if err != nil || limit >= pageSize || len(pages) == 0 || len(pages[0].Events) == 0 {
			return pages, err
		}
		o.read = pages[0].Events
	}
	events := o.read[:min(limit, len(o.read))]
	return []eventstore.Page{{Tenant: o.tenant, Events: slices.Clone(events), Through: events[len(events)-1].Position}}, nil
}

// ReadAt implements projection.Feed.
func (o *oneTenant) ReadAt(ctx context.Context, tenant string, log eventstore.Log, positions []int64) ([]eventstore.Event, error) {
	return o.store.ReadAt(ctx, tenant, log, positions)
}
