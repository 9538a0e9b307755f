package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	apiclient "phantom/api/client"
	"phantom/training"
)

const model = "digits"

// quick is a training of a moment; patient is one long enough to be killed in its middle.
func quick(seed int) map[string]any { return spec(seed, []int{16}, 30) }

func patient() map[string]any { return spec(7, []int{128, 128}, patientEpochs) }

const patientEpochs = 80

func spec(seed int, hidden []int, epochs int) map[string]any {
	return map[string]any{
		"data":      map[string]any{"train": map[string]any{"uri": "digits.csv", "label": "label"}},
		"algorithm": "mlp", "seed": seed, "params": map[string]any{"hidden": hidden, "epochs": epochs},
		"gates": []any{map[string]any{"metric": "accuracy", "op": ">=", "threshold": 0.8}},
	}
}

// with is a copy of an input with more fields.
func with(input map[string]any, more map[string]any) map[string]any {
	out := map[string]any{}
	for _, part := range []map[string]any{input, more} {
		maps.Copy(out, part)
	}
	return out
}

func (p *phantom) createModel() {
	p.t.Helper()
	require.NoError(p.t, p.send(http.MethodPost, "/api/v1/models", map[string]any{
		"model_id": model, "name": "Digits", "model_type": "classification", "algorithm": "mlp",
	}, nil))
}

func (p *phantom) train(input map[string]any) string {
	p.t.Helper()
	return p.start("/api/v1/models/"+model+"/trainings", input)
}

// registered trains a version to its end and returns its number.
func (p *phantom) registered(seed int) string {
	p.t.Helper()
	s := p.ended(p.train(quick(seed)))
	require.Equal(p.t, "completed", s.State, s.Error)
	var result struct{ Outcome, Version string }
	require.NoError(p.t, json.Unmarshal(s.Result, &result))
	require.Equal(p.t, "registered", result.Outcome)
	return result.Version
}

// canary is a strategy that asks for few samples, and holds its first step until somebody decides when
// there is no traffic.
func canary(steps ...any) map[string]any {
	return map[string]any{"canary": map[string]any{
		"steps": steps, "max_hold": "10m", "analysis": []any{
			map[string]any{"metric": "error_rate", "op": "<=", "threshold": 0.2, "required": true},
			map[string]any{"metric": "accuracy", "op": ">=", "threshold": 0.7, "required": true},
		},
	}}
}

func step(weight int, hold string) map[string]any {
	return map[string]any{"weight": weight, "hold": hold}
}

func (p *phantom) deploy(version string, more map[string]any) string {
	p.t.Helper()
	return p.start("/api/v1/models/"+model+"/deployments", with(map[string]any{"version": version, "target": "local"}, more))
}

// champion trains and deploys version 1, so that the next deployment is a canary.
func (p *phantom) champion() {
	p.t.Helper()
	s := p.ended(p.deploy(p.registered(1), nil))
	require.Equal(p.t, "completed", s.State, s.Error)
}

// state is what a cancelled saga must leave as it was.
type state struct {
	Status          string          `json:"status"`
	CurrentVersion  *string         `json:"current_version"`
	DeployedTargets json.RawMessage `json:"deployed_targets"`
	ActiveTrainings int             `json:"active_trainings"`

	deployments []deployment
}

type deployment struct {
	Target  string `json:"target"`
	Version string `json:"version"`
	State   string `json:"state"`
	Weight  int    `json:"weight"`
}

// state reads the model and what serves it, as of the last event.
func (p *phantom) state() state {
	p.t.Helper()
	events := p.events(model)
	last := events[len(events)-1].Position
	var s state
	p.eventually("the read models have seen the log", func() bool {
		ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
		defer cancel()
		return p.read(ctx, last, "/api/v1/models/"+model, &s) == nil
	})
	var page struct {
		Items []deployment `json:"items"`
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(p.t, p.read(ctx, last, "/api/v1/models/"+model+"/deployments", &page))
	for _, d := range page.Items {
		if d.State != "ended" {
			s.deployments = append(s.deployments, d)
		}
	}
	return s
}

// holdLog keeps the tenant's lifecycle log from growing until the returned function is called: whoever
// appends waits, as behind a slow neighbour.
func (p *phantom) holdLog() (release func()) {
	p.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.db.AdminURL)
	require.NoError(p.t, err)
	tx, err := conn.Begin(ctx)
	require.NoError(p.t, err)
	_, err = tx.Exec(ctx, `select from lifecycle.heads where tenant_id = 'default' for update`)
	require.NoError(p.t, err)
	var once sync.Once
	release = func() {
		once.Do(func() {
			_ = tx.Rollback(ctx)
			_ = conn.Close(ctx)
		})
	}
	p.t.Cleanup(release)
	return release
}

// blocked waits until somebody waits for the held log.
func (p *phantom) blocked() {
	p.t.Helper()
	conn, err := pgx.Connect(context.Background(), p.db.AdminURL)
	require.NoError(p.t, err)
	defer conn.Close(context.Background())
	p.eventually("an append waits for the log", func() bool {
		var waiting int
		err := conn.QueryRow(p.t.Context(), `select count(*) from pg_stat_activity
			where datname = $1 and wait_event_type = 'Lock' and query ilike '%append%'`, p.db.Name).Scan(&waiting)
		require.NoError(p.t, err)
		return waiting > 0
	})
}

// live sends held-out rows through the gateway and their labels through the API until it is stopped. What
// fails while the worker is dead is sent again later: clients are like that.
func (p *phantom) live() (stop func()) {
	p.t.Helper()
	rows, labels := heldOut(p.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.inferAndLabel(ctx, rows[n%len(rows)], labels[n%len(rows)])
			}
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	p.t.Cleanup(stop)
	return stop
}

func (p *phantom) inferAndLabel(ctx context.Context, row []float32, label string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
		"name": "x", "shape": []int{1, len(row)}, "datatype": "FP32", "data": row,
	}}})
	if err != nil {
		panic(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.gateway+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	id := response.Header.Get("Phantom-Inference-Id")
	if response.StatusCode != http.StatusOK || id == "" {
		return
	}
	_ = p.api.Do(ctx, apiclient.Request{Method: http.MethodPost, Path: "/api/v1/feedback", Body: map[string]any{"feedback": []any{
		map[string]any{"inference_id": id, "row": 0, "label": label, "source": "e2e"},
	}}}, nil)
}

func heldOut(t *testing.T) (rows [][]float32, labels []string) {
	t.Helper()
	raw, err := os.ReadFile("../../examples/digits/digits.csv")
	require.NoError(t, err)
	table, err := training.Parse(raw, "label")
	require.NoError(t, err)
	_, held := training.Split(table)
	return held.Rows, held.Labels
}
