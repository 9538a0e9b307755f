package readmodel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
)

//nolint:gochecknoglobals // flags of the test binary
var (
	rebuildEvents = flag.Int("rebuild.events", 8_000, "events that TestARebuildUnderReaders rebuilds; make rebuild-check takes 1,000,000")
	rebuildBack   = flag.Duration("rebuild.back", 10*time.Second, "how long the way back may take; make rebuild-check, which runs alone, takes 1s")
)

// stamped is the catalogue, whose rows say in their description which generation they are of.
type stamped struct{ readmodel.Catalogue }

const stamp = "of generation ?"

func (p stamped) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	own := make([]eventstore.Event, len(events))
	for i, e := range events {
		own[i] = e
		own[i].EventData = bytes.ReplaceAll(e.EventData, []byte(stamp), []byte(stampOf(generation)))
	}
	return p.Catalogue.Apply(ask, generation, own)
}

func stampOf(generation int) string { return fmt.Sprintf("of generation %d", generation) }

const eventsOfAModel = 20

// rebuilding is a rebuild of the catalogue of some tenants, with a reader and a writer beside it.
type rebuilding struct {
	*house

	runner  *projection.Runner
	tenants []domain.Tenant
	models  int // of each tenant
	answers atomic.Int64
}

// fill appends the history of every tenant, in large calls.
func (b *rebuilding) fill(events int) {
	b.t.Helper()
	b.models = max(2, events/len(b.tenants)/eventsOfAModel)
	for _, tenant := range b.tenants {
		for first := 0; first < b.models; first += 1000 / eventsOfAModel {
			var appends []eventstore.Append
			for n := first; n < min(b.models, first+1000/eventsOfAModel); n++ {
				appends = append(appends, eventstore.Append{
					Stream: eventstore.Stream{Type: "MLModel", ID: modelNumber(n)}, Events: b.history(n),
				})
			}
			_, err := b.store.Append(b.t.Context(), string(tenant), eventstore.Lifecycle, appends, nil)
			require.NoError(b.t, err)
		}
	}
}

func modelNumber(n int) string { return fmt.Sprintf("m%07d", n) }

func (b *rebuilding) history(n int) []eventstore.NewEvent {
	events := []eventstore.NewEvent{b.event(domain.ModelCreated{
		Name: "Model", ModelType: "classification", Algorithm: "mlp", Description: stamp, Tags: map[string]string{"team": "x"},
	})}
	for i := 1; i < eventsOfAModel; i++ {
		value := fmt.Sprint(n, "-", i)
		events = append(events, b.event(domain.ModelMetadataUpdated{Tags: map[string]*string{"step": &value}}))
	}
	return events
}

func (b *rebuilding) event(e domain.Event) eventstore.NewEvent {
	b.t.Helper()
	name, version, data, err := domain.Encode(e)
	require.NoError(b.t, err)
	return eventstore.NewEvent{
		ID: uuid.New(), Type: name, Version: version, Data: data, OccurredAt: time.Unix(1_800_000_000, 0).UTC(),
		Metadata: json.RawMessage(`{"actor":{"subject":"ann","auth":"local","verified":false}}`),
	}
}

// read asks like a page that lists models, until told to stop: an answer is whole, and of one generation.
func (b *rebuilding) read(ctx context.Context, tenant domain.Tenant) error {
	for ctx.Err() == nil {
		page, err := b.reader.ListModels(ctx, tenant, readmodel.ModelFilter{Tags: map[string]string{"team": "x"}}, readmodel.Paging{Limit: 100})
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop
		case err != nil:
			return err
		}
		if len(page.Items) != min(b.models, 100) || page.HasMore != (b.models > 100) {
			return fmt.Errorf("an answer with %d models of %d", len(page.Items), b.models)
		}
		for _, m := range page.Items {
			if m.Description != page.Items[0].Description || !strings.HasPrefix(m.Description, "of generation ") || m.Revision < eventsOfAModel {
				return fmt.Errorf("an answer that mixes: %q at revision %d beside %q", m.Description, m.Revision, page.Items[0].Description)
			}
		}
		b.answers.Add(1)
	}
	return nil
}

// write goes on with one model, and reads each write.
func (b *rebuilding) write(ctx context.Context, tenant domain.Tenant) error {
	whole := context.WithoutCancel(ctx) // what is written is read
	for revision := int64(eventsOfAModel + 1); ctx.Err() == nil; revision++ {
		value := fmt.Sprint("w", revision)
		done, err := b.store.Append(whole, string(tenant), eventstore.Lifecycle, []eventstore.Append{{
			Stream: eventstore.Stream{Type: "MLModel", ID: modelNumber(1)},
			Events: []eventstore.NewEvent{b.event(domain.ModelMetadataUpdated{Tags: map[string]*string{"step": &value}})},
		}}, nil)
		if err != nil {
			return err
		}
		if err := b.seen(whole, tenant, done[0].Position, revision); err != nil {
			return err
		}
	}
	return nil
}

func (b *rebuilding) seen(ctx context.Context, tenant domain.Tenant, position, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := b.runner.WaitFor(ctx, readmodel.CatalogueName, string(tenant), position); err != nil {
		return err
	}
	m, err := b.reader.GetModel(ctx, tenant, domain.ModelID(modelNumber(1)), 0)
	if err != nil {
		return err
	}
	if m.Revision < revision || m.Position < position {
		return fmt.Errorf("position %d was waited for, and is not shown: revision %d at %d", position, m.Revision, m.Position)
	}
	return nil
}

func (b *rebuilding) until(holds func(projection.Status) bool) projection.Status {
	b.t.Helper()
	var status projection.Status
	require.Eventually(b.t, func() bool {
		var err error
		status, err = b.runner.Status(b.t.Context(), readmodel.CatalogueName)
		return err == nil && holds(status)
	}, 30*time.Minute, 10*time.Millisecond)
	return status
}

// sameRows compares two generations of every tenant within the database.
func (b *rebuilding) sameRows() {
	b.t.Helper()
	for _, tenant := range b.tenants {
		for _, table := range []string{"model", "model_tag"} {
			row := `select (to_jsonb(t) - 'generation' - 'description')::text from phantom.` + table + ` t where generation = `
			var left, right, both int64
			var batch pgx.Batch
			batch.Queue(`select set_config('phantom.tenant', $1, false)`, tenant)
			batch.Queue(`with a as (` + row + `1), b as (` + row + `2) select (select count(*) from (select * from a except all select * from b) x),
				(select count(*) from (select * from b except all select * from a) x), (select count(*) from a)`).
				QueryRow(func(r pgx.Row) error { return r.Scan(&left, &right, &both) })
			batch.Queue(`select set_config('phantom.tenant', '', false)`)
			require.NoError(b.t, b.pool.SendBatch(b.t.Context(), &batch).Close())
			require.Positive(b.t, both)
			require.Zero(b.t, left, "rows of %s that only the incremental generation has, of %s", table, tenant)
			require.Zero(b.t, right, "rows of %s that only the rebuilt generation has, of %s", table, tenant)
		}
	}
}

// A rebuild takes nothing away from readers and writers; what it makes is what there was, and the way back is short.
func TestARebuildUnderReaders(t *testing.T) {
	t.Parallel()
	b := &rebuilding{house: newHouse(t), tenants: []domain.Tenant{"t1", "t2", "t3", "t4"}}
	var err error
	b.runner, err = projection.NewRunner(projection.Params{
		Pool: b.pool, Feed: b.store, Projections: []projection.Projection{stamped{}}, Sweep: 20 * time.Millisecond, Steer: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	b.fill(*rebuildEvents)
	run, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = b.runner.Run(run) })
	b.until(func(s projection.Status) bool { return s.Lag == 0 && len(s.Tenants) == len(b.tenants) })

	beside, done := context.WithCancel(t.Context())
	defer done()
	failures := make(chan error, 2*len(b.tenants))
	var others sync.WaitGroup
	for i, tenant := range b.tenants {
		others.Go(func() { failures <- b.read(beside, tenant) })
		if i < 2 {
			others.Go(func() { failures <- b.write(beside, tenant) })
		}
	}
	began := time.Now()
	_, err = b.runner.Rebuild(t.Context(), readmodel.CatalogueName, 0)
	require.NoError(t, err)
	b.until(func(s projection.Status) bool { return s.Generation == 2 })
	rebuilt := time.Since(began)
	back := b.flips(5)
	done()
	others.Wait()
	for range len(b.tenants) + 2 {
		require.NoError(t, <-failures)
	}
	require.Positive(t, b.answers.Load())
	b.until(func(s projection.Status) bool {
		return s.Lag == 0 && s.Generations[0].Percentage == 100 && s.Generations[1].Percentage == 100
	})
	b.sameRows()
	t.Logf("%d events rebuilt in %s, %.0f a second, beside %d whole answers; the slowest way back took %s",
		*rebuildEvents, rebuilt.Round(time.Millisecond), float64(*rebuildEvents)/rebuilt.Seconds(), b.answers.Load(), back.Round(time.Millisecond))
}

// flips goes there and back, and tells the longest time of it.
func (b *rebuilding) flips(times int) (longest time.Duration) {
	b.t.Helper()
	for range times {
		began := time.Now()
		_, err := b.runner.Back(b.t.Context(), readmodel.CatalogueName)
		for errors.Is(err, projection.ErrRefused) && time.Since(began) < *rebuildBack { // a busy machine is behind for longer
			_, err = b.runner.Back(b.t.Context(), readmodel.CatalogueName)
		}
		took := time.Since(began)
		require.NoError(b.t, err)
		require.Less(b.t, took, *rebuildBack)
		longest = max(longest, took)
	}
	return longest
}
