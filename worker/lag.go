package main

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"phantom/eventstore/follow"
	"phantom/projection"
)

// How often the database is asked how far the followers are behind, whatever the scrapes: a lookup for each tenant.
const (
	lagTimeout = 5 * time.Second
	lagShare   = 20 // times as long as it took
)

// lagCollector tells Prometheus how far projections and subscriptions are behind. Tenants are no label: there may be many
// thousands. Every process that collects tells the same of the whole database, so aggregate with max.
type lagCollector struct {
	pool  *pgxpool.Pool
	up    *prometheus.Desc
	kinds map[follow.Kind]lagGauges

	parked, oldest *prometheus.Desc

	mu   sync.Mutex
	told told
	err  error
	next time.Time // when the database is asked again
}

// told is what the database says of those who follow the logs.
type told struct {
	lags   []follow.Lag
	parked []projection.Parking
}

type lagGauges struct{ events, tenants, worst, seconds *prometheus.Desc }

func newLagCollector(pool *pgxpool.Pool) *lagCollector {
	gauges := func(kind follow.Kind) lagGauges {
		desc := func(name, help string) *prometheus.Desc {
			return prometheus.NewDesc(prometheus.BuildFQName("phantom", string(kind), name), help, []string{string(kind)}, nil)
		}
		return lagGauges{
			events:  desc("lag_events", "Positions of all tenants' logs that are not handled yet."),
			tenants: desc("lag_tenants", "Tenants with positions that are not handled yet."),
			worst:   desc("lag_worst_tenant_events", "Positions that are not handled yet of the tenant that is behind most."),
			seconds: desc("lag_seconds", "Age of the oldest event that is not handled yet; 0 when there is none."),
		}
	}
	of := []string{string(follow.KindProjection)}
	return &lagCollector{
		pool:   pool,
		parked: prometheus.NewDesc("phantom_projection_parked_events", "Events that wait for a retry, of all tenants.", of, nil),
		oldest: prometheus.NewDesc("phantom_projection_parked_oldest_seconds", "How long the oldest of them waits; 0 when there is none.", of, nil),
		up:     prometheus.NewDesc("phantom_lag_up", "1 when the database told how far the followers are behind.", nil, nil),
		kinds: map[follow.Kind]lagGauges{
			follow.KindProjection: gauges(follow.KindProjection), follow.KindSubscription: gauges(follow.KindSubscription),
		},
	}
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.up
	to <- c.parked
	to <- c.oldest
	for _, g := range c.kinds {
		for _, desc := range []*prometheus.Desc{g.events, g.tenants, g.worst, g.seconds} {
			to <- desc
		}
	}
}

// Collect implements prometheus.Collector. A database that does not answer leaves the gauges out, and no other metric.
func (c *lagCollector) Collect(to chan<- prometheus.Metric) {
	now, err := c.ask()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	if err != nil {
		gauge(c.up, 0)
		return
	}
	gauge(c.up, 1)
	for _, p := range now.parked {
		gauge(c.parked, float64(p.Events), p.Projection)
		gauge(c.oldest, p.Oldest.Seconds(), p.Projection)
	}
	for _, lag := range now.lags {
		g := c.kinds[lag.Kind]
		gauge(g.events, float64(lag.Behind), lag.Name)
		gauge(g.tenants, float64(lag.Tenants), lag.Name)
		gauge(g.worst, float64(lag.WorstBehind), lag.Name)
		gauge(g.seconds, lag.Oldest.Seconds(), lag.Name)
	}
}

func (c *lagCollector) ask() (told, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Before(c.next) {
		return c.told, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	c.told = told{}
	if c.told.lags, c.err = follow.Lags(ctx, c.pool); c.err == nil {
		c.told.parked, c.err = projection.Parkings(ctx, c.pool)
	}
	c.next = time.Now().Add(lagShare * time.Since(began))
	return c.told, c.err
}
