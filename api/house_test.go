package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"phantom/access"
	"phantom/api"
	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is what a loaded machine may take; poll is how often something outside is looked at.
const (
	patience = 60 * time.Second
	poll     = 100 * time.Millisecond
)

// house is the API over a database of its own, with the projections running.
type house struct {
	t        *testing.T
	pool     *pgxpool.Pool
	registry *registry.Registry
	runner   *projection.Runner
	tenant   domain.Tenant
	params   api.Params
	url      string
	http     *http.Client
}

// change alters what the API stands on.
type change func(*house, *api.Params)

func newHouse(t *testing.T, changes ...change) *house {
	t.Helper()
	pool := pgtest.New(t).Pool(t)
	store := eventstore.New(pool)
	h := &house{
		t: t, pool: pool, registry: registry.New(store), tenant: domain.Tenant("t-" + uuid.NewString()[:8]),
		http: &http.Client{Transport: &http.Transport{}},
	}
	tail := eventstore.NewTail(store, eventstore.Lifecycle)
	var err error
	h.runner, err = projection.NewRunner(projection.Params{
		Pool: pool, Feed: store, Projections: readmodel.Projections(), Tails: map[eventstore.Log]*eventstore.Tail{eventstore.Lifecycle: tail},
	})
	require.NoError(t, err)
	h.params = api.Params{
		Keys: access.NewKeys(pool), Registry: h.registry, Reader: readmodel.NewReader(pool), Feed: eventstore.NewReader(store, tail), Tail: tail, WaitFor: h.runner.WaitFor, Projections: h.runner, Temporal: noTemporal(t),
		Artifacts: storeIn(t, t.TempDir()), MaxArtifact: maxArtifact, Queue: "test-" + uuid.NewString(), Targets: []domain.Target{"prod", "local"}, Version: "test", Log: zap.NewNop(),
	}
	for _, alter := range changes {
		alter(h, &h.params)
	}
	h.project(tail)
	h.serve()
	return h
}

// maxArtifact is the limit of the tests, in bytes.
const maxArtifact = 1 << 20

func storeIn(t *testing.T, folder string) *artifact.Store {
	t.Helper()
	store, err := artifact.Open(t.Context(), "file://"+folder)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// project runs the projections until the test ends.
func (h *house) project(tail *eventstore.Tail) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = tail.Run(ctx) })
	running.Go(func() { _ = h.runner.Run(ctx) })
	h.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func (h *house) serve() {
	h.t.Helper()
	server := httptest.NewServer(api.New(h.params))
	h.url = server.URL
	h.t.Cleanup(func() {
		h.http.CloseIdleConnections()
		server.Close()
	})
}

// noTemporal is a client of a server that is not there.
func noTemporal(t *testing.T) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: silent{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// object is a JSON object of an answer.
type object = map[string]any

// request is a call; Body is sent as JSON, or as it is when it is text.
type request struct {
	method string // GET when empty
	path   string
	body   any
	header map[string]string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (h *house) do(r request) answer {
	h.t.Helper()
	var body io.Reader
	kind := "application/json"
	switch given := r.body.(type) {
	case nil:
	case string:
		body = bytes.NewBufferString(given)
	default:
		text, err := json.Marshal(given)
		require.NoError(h.t, err)
		body = bytes.NewReader(text)
	}
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+r.path, body)
	require.NoError(h.t, err)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set(api.HeaderTenant, string(h.tenant))
	req.Header.Set(api.HeaderActor, "ann")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	response, err := h.http.Do(req)
	require.NoError(h.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(h.t, err)
	return answer{t: h.t, status: response.StatusCode, header: response.Header, body: text}
}

func (h *house) get(path string) answer {
	h.t.Helper()
	return h.do(request{path: path})
}

func (h *house) post(path string, body any) answer {
	h.t.Helper()
	return h.do(request{method: http.MethodPost, path: path, body: body})
}

// as expects a status, and returns the body as an object.
func (a answer) as(status int) object {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	if len(a.body) == 0 {
		return nil
	}
	var o object
	require.NoError(a.t, json.Unmarshal(a.body, &o), "%s", a.body)
	return o
}

// problem expects a refusal, and returns its pointers.
func (a answer) problem(status int, code string) []string {
	a.t.Helper()
	o := a.as(status)
	require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(a.t, code, o["code"], "%s", a.body)
	require.EqualValues(a.t, status, o["status"])
	require.NotEmpty(a.t, o["title"])
	require.NotEmpty(a.t, o["detail"])
	var pointers []string
	if errs, ok := o["errors"].([]any); ok {
		for _, bad := range errs {
			pointers = append(pointers, text(bad.(object)["pointer"]))
		}
	}
	return pointers
}

func (a answer) position() int64 {
	a.t.Helper()
	position, err := strconv.ParseInt(a.header.Get("Phantom-Position"), 10, 64)
	require.NoError(a.t, err)
	return position
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// items are the objects of a list.
func (a answer) items() []object {
	a.t.Helper()
	list, ok := a.as(http.StatusOK)["items"].([]any)
	require.True(a.t, ok, "%s", a.body)
	items := make([]object, len(list))
	for i, one := range list {
		items[i] = one.(object)
	}
	return items
}

// handle records something without the API; settled waits until the read models have seen it.
func (h *house) handle(cmd domain.Command) domain.Result {
	h.t.Helper()
	result, err := h.registry.Handle(h.t.Context(), h.tenant, cmd, domain.Meta{Actor: domain.Actor{Subject: "bob", Auth: domain.AuthLocal}})
	require.NoError(h.t, err)
	return result
}

func (h *house) settled(result domain.Result) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	for _, name := range []string{
		readmodel.CatalogueName, readmodel.VersionsName, readmodel.TrainingsName, readmodel.DeploymentsName, readmodel.RolloutsName,
		readmodel.AliasesName,
	} {
		require.NoError(h.t, h.runner.WaitFor(ctx, name, string(h.tenant), result.Position))
	}
}

func digits() object {
	return object{
		"model_id": "digits", "name": "Digits", "model_type": "classification", "algorithm": "mlp",
		"initial_config": object{"hidden": 32}, "tags": object{"team": "vision"},
	}
}

// createDigits makes the model that most tests are about.
func (h *house) createDigits() answer {
	h.t.Helper()
	a := h.post("/api/v1/models", digits())
	a.as(http.StatusCreated)
	h.get("/api/v1/models/digits").as(http.StatusOK) // the catalogue shows it
	return a
}

// emptyDatabase is one that knows nothing of what the house records.
func emptyDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return pgtest.New(t).Pool(t)
}
