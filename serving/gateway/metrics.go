package gateway

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the gateway's metrics. Rows of the log are recorded, dropped (the queue was full or the
// gateway closed) or refused (the log did not take them for good).
type counters struct {
	requests *prometheus.CounterVec   // tenant, model, target, version, outcome
	seconds  *prometheus.HistogramVec // target
	logged   *prometheus.CounterVec   // tenant, fate
	waiting  prometheus.Gauge
}

const (
	fateRecorded = "recorded"
	fateDropped  = "dropped"
	fateRefused  = "refused"
)

func newCounters(registry prometheus.Registerer) (*counters, error) {
	made := &counters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "phantom_gateway_requests_total", Help: "Inference requests that were sent to a version, by outcome.",
		}, []string{"tenant", "model", "target", "version", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "phantom_gateway_target_seconds", Help: "How long a target took to answer an inference request.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
		}, []string{"target"}),
		logged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "phantom_gateway_log_rows_total", Help: "Rows for the inference log, by what became of them.",
		}, []string{"tenant", "fate"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "phantom_gateway_log_waiting_rows", Help: "Rows that wait to be logged.",
		}),
	}
	if registry == nil {
		return made, nil
	}
	return made, errors.Join(registry.Register(made.requests), registry.Register(made.seconds),
		registry.Register(made.logged), registry.Register(made.waiting))
}
