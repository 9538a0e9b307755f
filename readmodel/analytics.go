package readmodel

import (
	"time"

	"phantom/domain"
)

// MaxBuckets is the most buckets of time that one question about analytics may cut its range into.
const MaxBuckets = 1500

// AnalyticsRange is a range of time and the buckets that it is cut into. The answer's range is widened to whole
// buckets, which begin at multiples of their size since 1970-01-01T00:00:00Z.
type AnalyticsRange struct {
	From, To time.Time // To is exclusive
	// Bucket is whole minutes below an hour, whole hours from there on.
	Bucket time.Duration
}

// Analytics is what was measured of a model over a range of time.
type Analytics struct {
	ModelID     domain.ModelID      `json:"model_id"`
	From        time.Time           `json:"from"`
	To          time.Time           `json:"to"`
	Bucket      string              `json:"bucket"`
	Totals      InferenceStats      `json:"totals"`
	Buckets     []AnalyticsBucket   `json:"buckets" nullable:"false" doc:"By start, version and target; those without inferences are left out"`
	Trainings   TrainingStats       `json:"trainings"`
	Deployments []DeploymentTraffic `json:"deployments" nullable:"false" doc:"Who had which share of the traffic in the range, in order"`
	// Position is the inference log's, which the answer has at least seen.
	Position int64 `json:"position" doc:"Of the inference log: the position that the answer has at least seen"`
}

// InferenceStats sums up inferences, by the rows that were logged. What the client got wrong (outcome bad_request)
// says nothing of a version and is not counted.
type InferenceStats struct {
	Inferences     int64      `json:"inferences" doc:"Rows in the log, without those that the client got wrong"`
	Errors         int64      `json:"errors"`
	ErrorRate      *float64   `json:"error_rate" doc:"Null without inferences"`
	MeanConfidence *float64   `json:"mean_confidence" doc:"Of the answers that tell one; null without"`
	LatencyMS      *LatencyMS `json:"latency_ms" doc:"Of the answered rows, within 1 % of the exact values; null without"`
	Accuracy       *float64   `json:"accuracy" doc:"The share of labelled that were predicted right; null without"`
	Labelled       int64      `json:"labelled" doc:"Answered rows whose prediction could be compared with a label: one label a row, the first; not sealed predictions"`
}

// LatencyMS are quantiles of a latency in milliseconds.
type LatencyMS struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// AnalyticsBucket is what one version did at one target within a bucket of time. A label counts in the bucket of its
// inference, however late it comes.
type AnalyticsBucket struct {
	Start   time.Time      `json:"start"`
	Version domain.Version `json:"version"`
	Target  domain.Target  `json:"target"`
	InferenceStats
}

// TrainingStats counts the trainings that started, and those that ended, within the range. Cancelled ones are no
// failures.
type TrainingStats struct {
	Started        int64    `json:"started"`
	Completed      int64    `json:"completed"`
	Failed         int64    `json:"failed"`
	MeanDurationMS *float64 `json:"mean_duration_ms" doc:"Of the completed; null without"`
}

// DeploymentTraffic is a time in which a version had one share of a target's traffic.
type DeploymentTraffic struct {
	Target  domain.Target  `json:"target"`
	Version domain.Version `json:"version"`
	From    time.Time      `json:"from"`
	To      *time.Time     `json:"to" doc:"Null while it is so"`
	Weight  int            `json:"weight" doc:"Percent of the target's traffic"`
}
