package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"phantom/api"
	"phantom/artifact"
	"phantom/domain"
	"phantom/readmodel"
	"phantom/registry"
	"phantom/workflows"
)

// house is the HTTP API of a town with one tenant, on loopback.
type house struct {
	server

	town      *town
	artifacts *artifact.Store
}

// in opens the API of a town for as long as the function runs. Nothing that is measured asks Temporal, so there is none.
func (w *world) in(ctx context.Context, do func(context.Context, *house) error) (err error) {
	t, err := w.settleIn(ctx, 1)
	if err != nil {
		return err
	}
	temporal, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	if err != nil {
		return err
	}
	defer temporal.Close()
	artifacts, remove, err := shelf(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	served := httptest.NewServer(api.New(api.Params{
		Registry: registry.New(w.store), Reader: t.reader, WaitFor: t.runner.WaitFor, Temporal: temporal, Artifacts: artifacts,
		Queue: workflows.DefaultQueues().Orchestration, Targets: []domain.Target{"local"}, Version: "bench", Log: zap.NewNop(),
	}))
	defer served.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	h := &house{
		server: server{url: served.URL, tenant: t.tenants[0], client: &http.Client{Transport: transport}}, town: t, artifacts: artifacts,
	}
	return meanwhile(ctx, t.run, func(ctx context.Context) error { return do(ctx, h) })
}

// request is a call over HTTP and the status that it must have.
type request struct {
	method, url string
	body        any // sent as JSON, unless nil
	status      int
	tenant      string
}

func call(ctx context.Context, client *http.Client, r request) error {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.tenant != "" {
		req.Header.Set(api.HeaderTenant, r.tenant)
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != r.status {
		err = fmt.Errorf("%s %s answered %d: %.500s", r.method, r.url, answer.StatusCode, text)
	}
	return err
}

// httpRow compares the answer about a model to the model's row.
func httpRow(ctx context.Context, l *lab, w *world) error {
	return w.in(ctx, func(ctx context.Context, h *house) error {
		r := row{
			Name: "get model over HTTP, 1 client", Against: "its row by key through pgx, same role and policies, one round trip",
			Times: true, Floor: 3, Aim: 3,
		}
		if err := h.town.runner.WaitFor(ctx, readmodel.CatalogueName, h.tenant, lifeEvents); err != nil {
			return err
		}
		model := newLife(0).model
		get := request{method: http.MethodGet, url: "/api/v1/models/" + string(model), status: http.StatusOK}
		ours := task(func(ctx context.Context, _ int) error { return h.send(ctx, get) })
		theirs := task(func(ctx context.Context, _ int) error { return h.readRow(ctx, model) })
		return l.compare(ctx, r, ours.over(1, 1), theirs.over(1, 1))
	})
}

// readRow reads all columns of a model's current row.
func (h *house) readRow(ctx context.Context, model domain.ModelID) error {
	const query = `select * from phantom.model where tenant_id = $1 and generation = 1 and model_id = $2 and to_position is null`
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, h.tenant)
	batch.Queue(query, h.tenant, model).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("model %s has %d rows", model, len(found))
		}
		return err
	})
	return h.town.world.serving.SendBatch(ctx, &batch).Close()
}
