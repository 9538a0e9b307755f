package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/readmodel"
)

// shelves is how many models the tenant of searchRows has.
const shelves = 100_000

// terms are what is searched for: a rare word, the beginning of one, a common word, two words, a typing error.
func terms() []string { return []string{"flamingo", "flam", "digits", "heron vision", "flamingp"} }

// searchRows asks for models of a large catalogue over HTTP, and the same of their names and descriptions by ILIKE.
func searchRows(ctx context.Context, l *lab, w *world) error {
	return w.in(ctx, func(ctx context.Context, h *house) error {
		if err := h.shelve(ctx); err != nil {
			return err
		}
		var turns atomic.Int64
		next := func() string { return terms()[turns.Add(1)%int64(len(terms()))] }
		r := row{Name: fmt.Sprintf("search over HTTP, %d models of one tenant, 1 client", shelves), Against: "–", Within: within{P99: 30 * time.Millisecond}}
		ours := task(func(ctx context.Context, _ int) error {
			return h.send(ctx, request{method: http.MethodGet, url: "/api/v1/search?" + url.Values{"q": {next()}}.Encode(), status: http.StatusOK})
		})
		if err := l.alone(ctx, r, ours.over(1, 1)); err != nil {
			return err
		}
		r = row{Name: "ILIKE on name and description, the same models", Against: "–", Note: "through pgx, for comparison: no rank, no typing errors"}
		ilike := task(func(ctx context.Context, _ int) error { return h.ilike(ctx, next()) })
		return l.alone(ctx, r, ilike.over(1, 1))
	})
}

// shelve registers the models and waits until the catalogue shows them and they are found.
func (h *house) shelve(ctx context.Context) error {
	birds := []string{"heron", "stork", "crane", "ibis", "egret"}
	appends := make([]eventstore.Append, shelves)
	for n := range appends {
		name := birds[n%len(birds)]
		if n%1000 == 0 {
			name = "flamingo"
		}
		event, err := encoded(domain.ModelCreated{
			Name: fmt.Sprintf("%s %d", name, n), ModelType: "classification", Algorithm: "mlp",
			Description: fmt.Sprintf("digits of the %s, batch %d", name, n/100), Tags: map[string]string{"team": "vision"},
		})
		if err != nil {
			return err
		}
		stream := domain.ModelStream(domain.ModelID(fmt.Sprintf("shelf-%06d", n)))
		appends[n] = eventstore.Append{Stream: eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, Events: []eventstore.NewEvent{event}}
	}
	last := int64(0)
	for part := range slices.Chunk(appends, eventstore.MaxBatchEvents) {
		done, err := h.town.world.store.Append(ctx, h.tenant, eventstore.Lifecycle, part, nil)
		if err != nil {
			return fmt.Errorf("register %d models: %w", shelves, err)
		}
		last = done[len(done)-1].Position
	}
	for _, projection := range []string{readmodel.CatalogueName, readmodel.SearchName} {
		if err := h.town.runner.WaitFor(ctx, projection, h.tenant, last); err != nil {
			return err
		}
	}
	_, err := h.town.world.admin.Exec(ctx, "vacuum (analyze) phantom.model, phantom.model_search, phantom.search_word")
	return err
}

func (h *house) ilike(ctx context.Context, text string) error {
	const query = `select model_id, name from phantom.model where tenant_id = $1 and generation = 1 and to_position is null
		and (name ilike $2 or description ilike $2) order by model_id limit 50`
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, h.tenant)
	batch.Queue(query, h.tenant, "%"+text+"%").Query(func(rows pgx.Rows) error {
		_, err := pgx.CollectRows(rows, pgx.RowToMap)
		return err
	})
	return h.town.world.serving.SendBatch(ctx, &batch).Close()
}
