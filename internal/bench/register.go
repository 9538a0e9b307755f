package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"phantom/domain"
)

// operation is one thing that is asked of a catalogue of models over HTTP: of ours, and of MLflow's. n counts the calls.
type operation struct {
	name   string
	ours   func(n int64) request // its URL without the host
	mlflow func(n int64) request
}

// stock is how many models are there before anything is measured: those that are asked for.
const stock = 200

func stocked(n int64) string { return fmt.Sprintf("stock-%03d", n%stock) }

// operations are what is compared. The versions, all of one artifact, come last: no other operation meets a model that has some.
func operations(of domain.Digest) []operation {
	return []operation{
		{
			"register a model",
			func(n int64) request { return registration(fmt.Sprintf("fresh-%07d", n)) },
			func(n int64) request { return mlflowRegistration(fmt.Sprintf("fresh-%07d", n)) },
		},
		{
			"get a model",
			func(n int64) request {
				return request{method: http.MethodGet, url: "/api/v1/models/" + stocked(n), status: http.StatusOK}
			},
			func(n int64) request {
				return mlflowRequest(http.MethodGet, "registered-models/get?"+url.Values{"name": {stocked(n)}}.Encode(), nil)
			},
		},
		{
			"search for models whose name begins so",
			func(n int64) request {
				query := url.Values{"q": {stocked(n)[:len("stock-00")]}, "limit": {"10"}}
				return request{method: http.MethodGet, url: "/api/v1/search?" + query.Encode(), status: http.StatusOK}
			},
			func(n int64) request {
				query := url.Values{"filter": {"name LIKE '" + stocked(n)[:len("stock-00")] + "%'"}, "max_results": {"10"}}
				return mlflowRequest(http.MethodGet, "registered-models/search?"+query.Encode(), nil)
			},
		},
		{
			"create a version",
			func(n int64) request { return version(stocked(n), of) },
			func(n int64) request { return mlflowVersion(stocked(n)) },
		},
	}
}

func registration(model string) request {
	return request{method: http.MethodPost, url: "/api/v1/models", status: http.StatusCreated, body: map[string]any{
		"model_id": model, "name": model, "model_type": "classification", "algorithm": "mlp",
		"description": "handwritten digits", "tags": map[string]string{"team": "vision"},
	}}
}

func mlflowRegistration(model string) request {
	return mlflowRequest(http.MethodPost, "registered-models/create", map[string]any{
		"name": model, "description": "handwritten digits", "tags": []map[string]string{{"key": "team", "value": "vision"}},
	})
}

func version(model string, of domain.Digest) request {
	return request{method: http.MethodPost, url: "/api/v1/models/" + model + "/versions", status: http.StatusCreated, body: map[string]any{
		"artifacts_location": of, "metrics": map[string]float64{"accuracy": 0.97}, "modification": "from the lab",
	}}
}

// mlflowVersion makes a version of a place that MLflow does not look at: it wants no run for one in a bucket.
func mlflowVersion(model string) request {
	return mlflowRequest(http.MethodPost, "model-versions/create", map[string]any{
		"name": model, "source": "s3://models/digits", "description": "from the lab",
		"tags": []map[string]string{{"key": "accuracy", "value": "0.97"}},
	})
}

func mlflowRequest(method, path string, body any) request {
	return request{method: method, url: "/api/2.0/mlflow/" + path, body: body, status: http.StatusOK}
}

// server is where requests go.
type server struct {
	url    string
	tenant string
	client *http.Client
}

func (s server) send(ctx context.Context, r request) error {
	r.url, r.tenant = s.url+r.url, s.tenant
	return call(ctx, s.client, r)
}

// fill registers the stock.
func (s server) fill(ctx context.Context, register func(model string) request) error {
	for n := range int64(stock) {
		if err := s.send(ctx, register(stocked(n))); err != nil {
			return err
		}
	}
	return nil
}

// asking sends one request of a kind after the other.
func (s server) asking(of func(n int64) request) task {
	var turns atomic.Int64
	return func(ctx context.Context, _ int) error { return s.send(ctx, of(turns.Add(1))) }
}

// registerRows tells how many of each operation the API does a second; `make bench-mlflow` compares them.
func registerRows(ctx context.Context, l *lab, w *world) error {
	return w.in(ctx, func(ctx context.Context, h *house) error {
		digest, err := h.push(ctx)
		if err == nil {
			err = h.fill(ctx, registration)
		}
		if err != nil {
			return err
		}
		for _, o := range operations(digest) {
			work := h.asking(o.ours)
			for _, clients := range []int{1, 16} {
				r := row{Name: fmt.Sprintf("%s over HTTP, %d connections", o.name, clients), Against: "–", Note: "no floor here: make bench-mlflow"}
				if err := l.alone(ctx, r, work.over(clients, 1)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// alone measures what there is nothing to compare to.
func (l *lab) alone(ctx context.Context, r row, ours side) error {
	if _, err := ours(ctx, l.options.round/2); err != nil {
		return fmt.Errorf("warm up %s: %w", r.Name, err)
	}
	for n := range l.options.rounds {
		got, err := ours(ctx, l.options.round)
		if err != nil {
			return fmt.Errorf("round %d of %s: %w", n+1, r.Name, err)
		}
		r.alone(got)
	}
	l.done(r)
	return nil
}
