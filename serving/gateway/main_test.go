package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/domain"
	"phantom/serving/gateway"
	"phantom/serving/modelserver"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
	"phantom/serving/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the database is away")

// world is what stands around a gateway: lifecycle logs, followers and an inference log, in memory.
type world struct {
	mu       sync.Mutex
	away     bool // feed and followers
	closed   bool // the inference log
	stalled  map[domain.Tenant]chan struct{}
	refuse   error
	logs     map[domain.Tenant][]domain.Recorded
	poison   map[domain.Tenant]int64 // a position that cannot be read
	hints    chan struct{}
	acks     map[domain.Tenant]int64
	beats    int
	left     bool
	onAck    func(tenant domain.Tenant, position int64)
	onBeat   func() error
	recorded map[domain.Tenant][]domain.InferenceMade
	metas    []domain.Meta
}

func newWorld() *world {
	return &world{
		logs: map[domain.Tenant][]domain.Recorded{}, poison: map[domain.Tenant]int64{}, hints: make(chan struct{}, 1),
		acks: map[domain.Tenant]int64{}, recorded: map[domain.Tenant][]domain.InferenceMade{},
		stalled: map[domain.Tenant]chan struct{}{},
	}
}

func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// happen appends an event to the stream of a model and returns its position.
func (w *world) happen(tenant domain.Tenant, model domain.ModelID, event domain.Event) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	position := w.append(tenant, model, event)
	select {
	case w.hints <- struct{}{}:
	default:
	}
	return position
}

// append is happen unheard, by who holds the world.
func (w *world) append(tenant domain.Tenant, model domain.ModelID, event domain.Event) int64 {
	position := int64(len(w.logs[tenant]) + 1)
	w.logs[tenant] = append(w.logs[tenant], domain.Recorded{
		Event: event, Stream: domain.ModelStream(model), Position: position, RecordedAt: time.Now(),
	})
	return position
}

func (w *world) Heads(context.Context) (map[domain.Tenant]int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errAway
	}
	heads := map[domain.Tenant]int64{}
	for tenant, events := range w.logs {
		heads[tenant] = int64(len(events))
	}
	return heads, nil
}

func (w *world) ReadAfter(_ context.Context, cursors map[domain.Tenant]int64, types []string, limit int) ([]gateway.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errAway
	}
	var pages []gateway.Page
	for _, tenant := range slices.Sorted(maps.Keys(cursors)) {
		page := gateway.Page{Tenant: tenant, Through: cursors[tenant]}
		for _, recorded := range w.logs[tenant][cursors[tenant]:] {
			if recorded.Position == w.poison[tenant] {
				page.Err = errors.New("an event of another world")
				break
			}
			name, _, _, err := domain.Encode(recorded.Event)
			if err != nil {
				return nil, err
			}
			if slices.Contains(types, name) {
				page.Events = append(page.Events, recorded)
			}
			page.Through = recorded.Position
			if len(page.Events) == min(limit, 2) { // small pages, so that there are several
				break
			}
		}
		pages = append(pages, page)
	}
	return pages, nil
}

// news tells of all tenants at each ring.
type news struct{ *world }

func (w *world) News() gateway.News { return news{w} }

func (n news) C() <-chan struct{} { return n.hints }

func (n news) Take() map[domain.Tenant]int64 {
	heads, err := n.Heads(context.Background())
	if err != nil {
		return nil
	}
	return heads
}

func (news) Close() {}

func (w *world) Beat(_ context.Context, group, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away || group != gateway.Group {
		return errAway
	}
	if w.onBeat != nil {
		if err := w.onBeat(); err != nil {
			return err
		}
	}
	w.beats++
	return nil
}

func (w *world) Leave(context.Context, string, string) error {
	w.set(func(w *world) { w.left = true })
	return nil
}

func (w *world) Ack(_ context.Context, tenant, _, _ string, position int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errAway
	}
	if w.onAck != nil {
		w.onAck(domain.Tenant(tenant), position)
	}
	w.acks[domain.Tenant(tenant)] = position
	return nil
}

func (w *world) RecordInferences(ctx context.Context, tenant domain.Tenant, cmd domain.RecordInferences, meta domain.Meta) error {
	w.mu.Lock()
	stall := w.stalled[tenant]
	w.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errAway
	}
	if w.refuse != nil {
		return w.refuse
	}
	w.recorded[tenant] = append(w.recorded[tenant], cmd.Inferences...)
	w.metas = append(w.metas, meta)
	return nil
}

// rows are a tenant's recorded inferences.
func (w *world) rows(tenant domain.Tenant) []domain.InferenceMade {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.recorded[tenant])
}

func (w *world) beatsSeen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.beats
}

func (w *world) acked(tenant domain.Tenant) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks[tenant]
}

// house is a gateway in its world, with a client.
type house struct {
	*world
	gateway *gateway.Gateway
	url     string
	client  *http.Client
	metrics *prometheus.Registry
	file    string
	stop    func() // ends the gateway; the test's end does it too
}

// build starts a gateway that follows its world until the test ends.
func build(tb testing.TB, w *world, targets map[domain.Target]string, change ...func(*gateway.Params)) *house {
	tb.Helper()
	h := &house{world: w, client: servingtest.Client(tb), metrics: prometheus.NewRegistry()}
	params := gateway.Params{
		Name: "g1", RouteFile: filepath.Join(tb.TempDir(), "routes.json"), Targets: targets, Identify: identify,
		Feed: w, Followers: w, Recorder: w, Metrics: h.metrics,
		Sweep: 10 * time.Millisecond, Recheck: 10 * time.Millisecond, Beat: time.Millisecond, BatchWait: time.Millisecond,
	}
	for _, one := range change {
		one(&params)
	}
	h.file = params.RouteFile
	made, err := gateway.New(params)
	require.NoError(tb, err)
	h.gateway = made
	front := httptest.NewServer(made.Handler())
	h.url = front.URL
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	followed := make(chan error, 1)
	go func() { followed <- made.Follow(ctx) }()
	h.stop = sync.OnceFunc(func() {
		front.Close()
		cancel()
		require.NoError(tb, <-followed)
		ctx, cancel := context.WithTimeout(context.Background(), servingtest.Patience)
		defer cancel()
		// A test that loses rows looks at it itself.
		_ = made.Close(ctx)
	})
	tb.Cleanup(h.stop)
	return h
}

func identify(r *http.Request) (domain.Tenant, domain.Actor, error) {
	tenant := domain.DefaultTenant
	if named := r.Header.Get("Phantom-Tenant"); named != "" {
		tenant = domain.Tenant(named)
	}
	if !tenant.Valid() {
		return "", domain.Actor{}, errors.New("no such tenant")
	}
	return tenant, domain.Actor{Subject: "tester", Auth: domain.AuthLocal}, nil
}

// await waits until the gateway has acknowledged the position.
func (h *house) await(tb testing.TB, tenant domain.Tenant, position int64) {
	tb.Helper()
	require.Eventually(tb, func() bool { return h.acked(tenant) >= position }, servingtest.Patience, time.Millisecond)
}

// deploy lets a version take all traffic of the model and waits until it does.
func (h *house) deploy(tb testing.TB, model domain.ModelID, version domain.Version, config string) {
	tb.Helper()
	event := domain.ModelDeployed{Version: version, DeploymentTarget: "local"}
	if config != "" {
		event.DeploymentConfig = json.RawMessage(config)
	}
	h.await(tb, domain.DefaultTenant, h.happen(domain.DefaultTenant, model, event))
}

func (h *house) shift(tb testing.TB, model domain.ModelID, weights domain.Traffic) {
	tb.Helper()
	h.await(tb, domain.DefaultTenant, h.happen(domain.DefaultTenant, model, domain.TrafficShifted{Target: "local", Weights: weights}))
}

func (h *house) infer(tb testing.TB, model string, body []byte, headers ...string) servingtest.Answer {
	tb.Helper()
	return servingtest.Call(tb, h.client, http.MethodPost, h.url+"/v2/models/"+model+"/infer", body, headers...)
}

func (h *house) get(tb testing.TB, path string, headers ...string) servingtest.Answer {
	tb.Helper()
	return servingtest.Call(tb, h.client, http.MethodGet, h.url+path, nil, headers...)
}

// logged waits for as many rows of the default tenant.
func (h *house) logged(tb testing.TB, rows int) []domain.InferenceMade {
	tb.Helper()
	require.Eventually(tb, func() bool { return len(h.rows(domain.DefaultTenant)) >= rows }, servingtest.Patience, time.Millisecond)
	return h.rows(domain.DefaultTenant)
}

// count sums a metric over the label values that are given.
func (h *house) count(tb testing.TB, name string, labels map[string]string) float64 {
	tb.Helper()
	families, err := h.metrics.Gather()
	require.NoError(tb, err)
	var sum float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if want, asked := labels[label.GetName()]; asked && want != label.GetValue() {
					continue metrics
				}
			}
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func (h *house) dropped(tb testing.TB, tenant domain.Tenant) float64 {
	tb.Helper()
	return h.count(tb, "phantom_gateway_log_rows_total", map[string]string{"tenant": string(tenant), "fate": "dropped"})
}

// local starts a model server and loads versions of "insects" into it, for the tenants.
func local(tb testing.TB, bundle string, versions []domain.Version, tenants ...domain.Tenant) map[domain.Target]string {
	tb.Helper()
	repository := tb.TempDir()
	address := servingtest.ModelServer(tb, repository, modelserver.Params{MaxBatch: 4})
	driver, err := target.New(target.Config{Name: "local", URL: address, Repository: repository})
	require.NoError(tb, err)
	tb.Cleanup(driver.Close)
	for _, tenant := range append(tenants, domain.DefaultTenant) {
		for _, version := range versions {
			name := oip.ServedName(tenant, "insects", version)
			require.NoError(tb, driver.Load(tb.Context(), name, servingtest.Bundle(tb, bundle)))
		}
	}
	return map[domain.Target]string{"local": address}
}

// rows is a request of n golden rows of the mlp.
func rows(tb testing.TB, id string, n int) []byte {
	tb.Helper()
	golden := servingtest.Golden(tb, servingtest.Bundle(tb, "mlp"))
	var inputs [][]float32
	for i := range n {
		inputs = append(inputs, golden.Inputs[i%len(golden.Inputs)])
	}
	return servingtest.Request(tb, id, inputs)
}

func refusal(tb testing.TB, answer servingtest.Answer) string {
	tb.Helper()
	var body map[string]string
	require.NoError(tb, json.Unmarshal(answer.Body, &body), string(answer.Body))
	require.NotEmpty(tb, body["error"])
	return body["error"]
}
