package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"phantom/artifact"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/internal/config/temporalenv"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
	"phantom/sealing"
)

// parts are what the roles of one process share. None of them needs a server to be there when it is
// made; roles wait for what they need.
type parts struct {
	cfg       config.Config
	log       *zap.Logger
	name      string // of this process, as Temporal shows it
	host      string
	namespace string // of Temporal

	pool      *pgxpool.Pool
	loopPool  *pgxpool.Pool // of the projections' loops, so that a stuck tenant takes no connection from requests
	store     *eventstore.Store
	registry  *registry.Registry
	snapshots *registry.Snapshots
	reader    *readmodel.Reader
	followers *projection.Followers
	artifacts *artifact.Store
	wrapper   *sealing.Wrapper // of the data keys
	tails     map[eventstore.Log]*eventstore.Tail
	runner    *projection.Runner
	applied   *prometheus.CounterVec // by the projections
	temporal  client.Client
	ready     *readiness
	serving   serving

	modelServerToken string
}

func assemble(ctx context.Context, cfg config.Config, log *zap.Logger) (*parts, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("the name of this machine: %w", err)
	}
	p := &parts{
		cfg: cfg, log: log, host: host, ready: newReadiness(cfg.Roles), serving: newServing(cfg.Roles), modelServerToken: modelServerToken(cfg),
		name: fmt.Sprintf("%s-%d-%s", host, os.Getpid(), uuid.NewString()[:8]),
	}
	if cfg.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set and no private stack runs here: start one with `make up`, " +
			"or give the DSN of the serving role")
	}
	if p.pool, err = connect(ctx, cfg.DatabaseURL, requestConnections); err != nil {
		return nil, err
	}
	if p.loopPool, err = connect(ctx, cfg.DatabaseURL, loopConnections*int32(len(readmodel.Projections())+1)); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.artifacts, err = artifact.Open(ctx, cfg.ArtifactsURL); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.wrapper, err = sealing.OpenWrapper(ctx, cfg.KeysURL); err != nil {
		return nil, errors.Join(err, p.close())
	}
	options, err := temporalenv.FromEnvironment(cfg)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	options.Identity = p.name
	options.Logger = newTemporalLog(log)
	p.namespace = options.Namespace
	if p.temporal, err = client.NewLazyClient(options); err != nil {
		return nil, errors.Join(fmt.Errorf("TEMPORAL_ADDRESS %s: %w", options.HostPort, err), p.close())
	}
	return p, p.derive()
}

// derive makes what stands on the pool.
func (p *parts) derive() error {
	p.store = eventstore.New(p.pool)
	p.snapshots = registry.NewSnapshots(p.store, registry.DefaultSnapshotPolicy(), func(err error) {
		p.log.Warn("a snapshot was not written; streams load without it", zap.Error(err))
	})
	p.registry = registry.NewSealing(p.store, sealing.New(p.pool, p.wrapper, sealing.Params{})).WithSnapshots(p.snapshots)
	p.reader = readmodel.NewReader(p.pool)
	p.followers = projection.NewFollowers(p.pool, 0)
	p.tails = map[eventstore.Log]*eventstore.Tail{
		eventstore.Lifecycle: eventstore.NewTail(p.store, eventstore.Lifecycle),
		eventstore.Inference: eventstore.NewTail(p.store, eventstore.Inference),
	}
	p.applied = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "phantom_projection_applied_events_total", Help: "Events that this process has applied or parked, of all generations.",
	}, []string{"projection"})
	var err error
	p.runner, err = projection.NewRunner(projection.Params{
		Pool: p.loopPool, Feed: p.following(eventstore.New(p.loopPool)), Tails: p.tails, Projections: readmodel.Projections(),
		Failed: func(name, tenant string, err error) {
			p.log.Error("a projection does not move", zap.String("projection", name), zap.String("tenant", tenant), zap.Error(err))
		},
		Applied: func(name string, events int) { p.applied.WithLabelValues(name).Add(float64(events)) },
	})
	return err
}

// following reads from a store for followers, who share what they read.
func (p *parts) following(store *eventstore.Store) *eventstore.Reader {
	return eventstore.NewReader(store, slices.Collect(maps.Values(p.tails))...)
}

// close gives back what assemble took, in reverse order.
func (p *parts) close() error {
	var err error
	if p.temporal != nil {
		p.temporal.Close()
	}
	if p.artifacts != nil {
		err = p.artifacts.Close()
	}
	if p.wrapper != nil {
		err = errors.Join(err, p.wrapper.Close())
	}
	for _, pool := range []*pgxpool.Pool{p.loopPool, p.pool} {
		if pool != nil {
			pool.Close()
		}
	}
	return err
}

// state is a folder of this process's state.
func (p *parts) state(name string) string { return filepath.Join(p.cfg.StateDir, name) }

// The most connections at once: a projection applies four tenants at a time and needs one connection
// besides; a generation beside the live one has those of one projection more. What the DSN says of pool_max_conns counts for the requests.
const (
	requestConnections int32 = 24
	loopConnections    int32 = 5
)

// connect makes a pool; it does not wait for the server.
func connect(ctx context.Context, dsn string, most int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be read as a DSN such as postgres://user:password@host:5432/phantom")
	}
	config.MaxConns = max(config.MaxConns, most)
	config.ConnConfig.RuntimeParams["application_name"] = "phantom-worker"
	return pgxpool.NewWithConfig(ctx, config)
}
