// Package gateway answers inferences: it splits a model's requests over its versions by weight, passes
// them to the servers that hold those versions, and logs what came of each.
//
// What it promises: routes are what the lifecycle log says, in the order of its positions, and a position
// is acknowledged only when its routes are in force and on disk. The gateway starts from its last routes
// and goes on serving with PostgreSQL and Temporal away. A request goes to one version: it never falls
// over to another, which would falsify what the canary measures. Each answered row is logged once, or
// counted as dropped.
//
// What it does not: it knows no keys (Identify tells tenant and actor), changes no traffic by itself and
// terminates no TLS. Its file of routes belongs to one gateway and one database.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"phantom/domain"
	"phantom/serving/durable"
)

// Group is the name under which gateways acknowledge positions.
const Group = "gateways"

// Identify tells whose request this is. Its error is answered as 401, an *oip.StatusError with its own status.
type Identify func(r *http.Request) (domain.Tenant, domain.Actor, error)

// Page is what stands in a tenant's lifecycle log after a cursor, in the order of positions. Through is
// the position up to which the log was looked at, so that a cursor passes events of other types. Err says
// that the event behind Through cannot be read: the tenant stays there, the others go on.
type Page struct {
	Tenant  domain.Tenant
	Events  []domain.Recorded
	Through int64
	Err     error
}

// Feed reads the lifecycle logs of all tenants.
type Feed interface {
	// Heads is the last position of every tenant that has a log.
	Heads(ctx context.Context) (map[domain.Tenant]int64, error)
	// ReadAfter reads events of the types after each cursor, at most limit a tenant. A tenant with
	// nothing new has no page.
	ReadAfter(ctx context.Context, cursors map[domain.Tenant]int64, types []string, limit int) ([]Page, error)
	// News begins to tell who has news.
	News() News
}

// News tells which tenants have news since the last Take, and up to which position; C rings when there are any. The log
// alone is the truth.
type News interface {
	C() <-chan struct{}
	Take() map[domain.Tenant]int64
	Close()
}

// Followers keeps who follows the log and how far.
type Followers interface {
	Beat(ctx context.Context, group, name string) error
	Leave(ctx context.Context, group, name string) error
	Ack(ctx context.Context, tenant, group, name string, position int64) error
}

// Recorder stores inferences; what stands already is dropped from the batch, so a repeat is harmless.
// domain.ErrInvalidInput, ErrInvalidState and ErrNotFound are for good, other errors are tried again.
type Recorder interface {
	RecordInferences(ctx context.Context, tenant domain.Tenant, cmd domain.RecordInferences, meta domain.Meta) error
}

// Params is what a gateway needs. Durations and bounds of zero are replaced by the defaults named here.
type Params struct {
	Name      string                   // of this gateway among the followers, the same after a restart
	RouteFile string                   // the last routes; its folder exists
	Targets   map[domain.Target]string // target → URL of its server
	Token     string                   // shown to those servers as a bearer token, unless empty
	// DefaultTarget answers where a model is at several targets and the request names none; without it
	// such a request is refused.
	DefaultTarget domain.Target
	Identify      Identify
	Feed          Feed
	Followers     Followers
	Recorder      Recorder
	Metrics       prometheus.Registerer // nil: counted, not shown
	Log           *zap.Logger           // nil: none

	Timeout       time.Duration // of an inference at its target; default 10 s
	MaxBody       int64         // bytes of a request; default 16 MiB
	MaxRows       int64         // rows of a request; default 4096
	Sweep         time.Duration // how often a beat or what failed before is looked after; default 1 s
	Recheck       time.Duration // how often all heads are asked for, whatever the news; default 1 min
	Beat          time.Duration // how often the gateway says that it lives; default 2 s
	BatchRows     int           // rows that are logged at once; default 500
	BatchWait     time.Duration // how long a row waits for others; default 20 ms
	QueueRows     int           // rows of all tenants that wait for the log; default 131,072
	TenantRows    int           // of one tenant; default 16,384
	QueueBytes    int           // captured inputs of all tenants that wait for the log; default 64 MiB
	TenantBytes   int           // of one tenant; default 16 MiB
	RecordTimeout time.Duration // of one try to log; default 5 s
}

func (p *Params) fill() {
	fallback(&p.Timeout, 10*time.Second)
	fallback(&p.MaxBody, 16<<20)
	fallback(&p.MaxRows, 4096)
	fallback(&p.Sweep, time.Second)
	fallback(&p.Recheck, time.Minute)
	fallback(&p.Beat, 2*time.Second)
	fallback(&p.BatchRows, 500)
	fallback(&p.BatchWait, 20*time.Millisecond)
	fallback(&p.QueueRows, 131_072)
	fallback(&p.TenantRows, 16_384)
	fallback(&p.QueueBytes, 64<<20)
	fallback(&p.TenantBytes, 16<<20)
	fallback(&p.RecordTimeout, 5*time.Second)
	if p.Log == nil {
		p.Log = zap.NewNop()
	}
}

func fallback[T int | int64 | time.Duration](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

// Gateway routes, passes on and logs. It is safe for concurrent use.
type Gateway struct {
	params  Params
	targets *forwarder
	log     *inferenceLog
	counts  *counters
	routes  atomic.Pointer[table] // in force; replaced, never changed
	known   atomic.Bool           // the routes are: from disk or from the log
	kept    bool                  // they came from disk
	ready   chan struct{}         // closed by Follow; see Ready
}

// New makes a gateway that serves the routes of its file. A damaged file is reported to Log and left
// behind: the routes are then folded from the log anew, and the gateway is not ready before that.
func New(params Params) (*Gateway, error) {
	params.fill()
	for target, address := range params.Targets {
		if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") {
			return nil, &domain.InvalidInput{
				Field: "targets." + string(target) + ".url", Reason: fmt.Sprintf("%q is not an http or https URL", address),
			}
		}
	}
	if params.Identify == nil || params.Feed == nil || params.Followers == nil || params.Recorder == nil ||
		params.Name == "" || params.RouteFile == "" {
		return nil, errors.New("gateway: Name, RouteFile, Identify, Feed, Followers and Recorder are needed")
	}
	counts, err := newCounters(params.Metrics)
	if err != nil {
		return nil, fmt.Errorf("gateway: register the metrics: %w", err)
	}
	made := &Gateway{params: params, counts: counts, targets: newForwarder(params.Token), log: newInferenceLog(params, counts), ready: make(chan struct{})}
	if err := made.restore(); err != nil {
		return nil, err
	}
	return made, nil
}

// restore takes the last routes from disk.
func (g *Gateway) restore() error {
	if err := os.MkdirAll(filepath.Dir(g.params.RouteFile), 0o755); err != nil {
		return fmt.Errorf("gateway: make the folder of the routes: %w", err)
	}
	var saved snapshot
	err := durable.Load(g.params.RouteFile, &saved)
	switch {
	case err == nil:
		g.kept = true
		g.known.Store(true)
	case errors.Is(err, durable.ErrDamaged):
		g.params.Log.Error("the file of routes is damaged, folding the log anew", zap.Error(err))
		saved = snapshot{}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("gateway: read the routes: %w", err)
	}
	g.routes.Store(newTable(saved))
	return nil
}

// Ready is closed when the gateway may get requests. From then on a traffic shift waits for it: it has said that it lives,
// and has looked at the log after that. With the log or the followers out of reach it is closed as well, once that is
// known, if the file held routes: they are the last word there is.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Close stops taking inferences into the log, writes what waits until ctx ends, and tells how many rows
// were lost if some were. Follow must have ended.
func (g *Gateway) Close(ctx context.Context) error {
	err := g.log.close(ctx)
	g.targets.close()
	return err
}
