package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	apiclient "phantom/api/client"
	"phantom/internal/config"
	"phantom/internal/pgtest"
)

// patience bounds every wait for something that must happen; on two busy cores it may take long.
const patience = 2 * time.Minute

// phantom is one worker process with all roles, alone in its database and Temporal namespace.
type phantom struct {
	t       *testing.T
	db      *pgtest.Database
	folder  string
	env     []string
	api     *apiclient.Client
	gateway string
	metrics string

	temporal client.Client
	process  *exec.Cmd
	exited   chan struct{}
}

// start brings up a worker of its own and waits until it is ready.
func start(t *testing.T) *phantom {
	t.Helper()
	return startOn(t, pgtest.New(t))
}

func startOn(t *testing.T, db *pgtest.Database) *phantom {
	t.Helper()
	stack, err := config.TestStack()
	require.NoError(t, err)
	p := &phantom{t: t, db: db, folder: t.TempDir()}
	namespace := "e2e-" + uuid.NewString()
	p.temporal = dialNamespace(t, stack.Temporal.Address, namespace)
	api, gateway, models, metrics := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	p.api = &apiclient.Client{URL: "http://" + api, Actor: "tester"}
	p.gateway, p.metrics = "http://"+gateway, "http://"+metrics
	p.env = append(config.Environ(), "DATABASE_URL="+p.db.ServingURL, "TEMPORAL_ADDRESS="+stack.Temporal.Address,
		"TEMPORAL_NAMESPACE="+namespace, "PHANTOM_API_ADDR="+api, "PHANTOM_GATEWAY_ADDR="+gateway,
		"PHANTOM_MODELSERVER_ADDR="+models, "PHANTOM_METRICS_ADDR="+metrics, "PHANTOM_LOG_FORMAT=console")
	copyFile(t, "../../examples/digits/digits.csv", filepath.Join(p.folder, "digits.csv"))
	p.run()
	t.Cleanup(p.stop)
	return p
}

// run starts the process and waits until it answers ready.
func (p *phantom) run() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.folder, "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer log.Close()
	p.process = exec.Command(workerBinary) //nolint:noctx // the test ends it, by kill -9 where it must
	p.process.Dir, p.process.Env, p.process.Stdout, p.process.Stderr = p.folder, p.env, log, log
	require.NoError(p.t, p.process.Start())
	process, exited := p.process, make(chan struct{})
	p.exited = exited
	go func() {
		_ = process.Wait()
		close(exited)
	}()
	p.eventually("the worker is ready", func() bool {
		select {
		case <-exited:
			require.FailNow(p.t, "the worker ended", p.log())
		default:
		}
		ready, err := http.Get(p.metrics + "/readyz") //nolint:noctx // on loopback, bounded by the test
		if err != nil {
			return false
		}
		defer ready.Body.Close()
		return ready.StatusCode == http.StatusOK
	})
}

// kill is kill -9.
func (p *phantom) kill() {
	p.t.Helper()
	require.NoError(p.t, p.process.Process.Kill())
	<-p.exited
}

// stop asks the process to end and waits for it.
func (p *phantom) stop() {
	select {
	case <-p.exited:
	default:
		_ = p.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(patience):
			_ = p.process.Process.Kill()
			<-p.exited
			p.t.Error("the worker did not end on SIGTERM")
		}
	}
	if p.t.Failed() {
		p.t.Log(p.log())
	}
}

// log is the end of what the process wrote.
func (p *phantom) log() string {
	const most = 16 << 10
	text, err := os.ReadFile(filepath.Join(p.folder, "worker.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func (p *phantom) eventually(what string, holds func() bool) {
	p.t.Helper()
	require.Eventually(p.t, holds, patience, 50*time.Millisecond, what)
}

// event is the envelope as the API gives it.
type event struct {
	Position         int64           `json:"position"`
	AggregateType    string          `json:"aggregate_type"`
	AggregateID      string          `json:"aggregate_id"`
	AggregateVersion int64           `json:"aggregate_version"`
	EventType        string          `json:"event_type"`
	EventData        json.RawMessage `json:"event_data"`
}

// events reads all events of the model, its trainings and rollouts, in order.
func (p *phantom) events(model string) []event {
	p.t.Helper()
	var all []event
	for after := int64(0); ; {
		var page struct {
			Items   []event `json:"items"`
			HasMore bool    `json:"has_more"`
		}
		require.NoError(p.t, p.get("/api/v1/models/"+model+"/events?limit=200&after="+strconv.FormatInt(after, 10), &page))
		all = append(all, page.Items...)
		if !page.HasMore {
			return all
		}
		after = page.Items[len(page.Items)-1].Position
	}
}

func countOf(events []event, eventType string) int {
	n := 0
	for _, e := range events {
		if e.EventType == eventType {
			n++
		}
	}
	return n
}

// waitEvent waits until an event of the type stands in the model's log.
func (p *phantom) waitEvent(model, eventType string) {
	p.t.Helper()
	p.eventually(eventType, func() bool { return countOf(p.events(model), eventType) > 0 })
}

func (p *phantom) get(path string, into any) error {
	address, err := url.Parse(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	return p.api.Do(ctx, apiclient.Request{Path: address.Path, Query: address.Query()}, into)
}

// read reads what has at least seen a position of the log.
func (p *phantom) read(ctx context.Context, position int64, path string, into any) error {
	return p.api.Do(ctx, apiclient.Request{
		Path: path, Header: http.Header{"Phantom-Min-Position": {strconv.FormatInt(position, 10)}},
	}, into)
}

func (p *phantom) send(method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	return p.api.Do(ctx, apiclient.Request{Method: method, Path: path, Body: body}, into)
}

// saga is what the tests read of a saga.
type saga struct {
	SagaID string          `json:"saga_id"`
	State  string          `json:"state"`
	Error  string          `json:"error"`
	Result json.RawMessage `json:"result"`
	Status struct {
		Stage      string `json:"stage"`
		WaitingFor string `json:"waiting_for"`
	} `json:"status"`
}

func (p *phantom) saga(id string) saga {
	p.t.Helper()
	var s saga
	require.NoError(p.t, p.get("/api/v1/sagas/"+id, &s))
	return s
}

// ended waits for the saga's end; the worker may be restarted meanwhile.
func (p *phantom) ended(id string) saga {
	p.t.Helper()
	var s saga
	p.eventually("the saga "+id+" ends", func() bool {
		err := p.get("/api/v1/sagas/"+id, &s)
		if problem, answered := errors.AsType[*apiclient.Problem](err); errors.Is(err, apiclient.ErrUnreachable) ||
			answered && problem.Status == http.StatusServiceUnavailable {
			return false
		}
		require.NoError(p.t, err)
		return s.State != "running"
	})
	return s
}

// start posts a saga and returns its id.
func (p *phantom) start(path string, body any) string {
	p.t.Helper()
	var accepted struct {
		SagaID string `json:"saga_id"`
	}
	require.NoError(p.t, p.send(http.MethodPost, path, body, &accepted))
	require.NotEmpty(p.t, accepted.SagaID)
	return accepted.SagaID
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// dialNamespace registers a namespace and connects to it when it can be used.
func dialNamespace(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	registrar, err := client.NewNamespaceClient(client.Options{HostPort: address})
	require.NoError(t, err)
	defer registrar.Close()
	err = registrar.Register(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	c, err := client.NewLazyClient(client.Options{HostPort: address, Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool {
		_, err := c.DescribeWorkflowExecution(context.Background(), "none", "")
		var missing *serviceerror.NotFound
		return errors.As(err, &missing)
	}, patience, 100*time.Millisecond, "the namespace can be used")
	return c
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o600))
}

// workerBinary is built by TestMain.
var workerBinary string //nolint:gochecknoglobals // one binary for all tests of the package

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "phantom-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	workerBinary = filepath.Join(folder, "phantom-worker")
	build := exec.Command("go", "build", "-o", workerBinary, "phantom/worker") //nolint:noctx // bounded by the test's own timeout
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the worker: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
