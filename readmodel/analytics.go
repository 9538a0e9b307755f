package readmodel

import (
	"time"

	"phantom/domain"
)

// Analytics is what a model did in a time range. What nothing was seen of is nil.
type Analytics struct {
	ModelID     domain.ModelID        `json:"model_id"`
	From        time.Time             `json:"from" doc:"The first minute that counts"`
	To          time.Time             `json:"to" doc:"The first minute that does not count any more"`
	Bucket      string                `json:"bucket" doc:"The length of a bucket"`
	Totals      Answered              `json:"totals"`
	Buckets     []AnalyticsBucket     `json:"buckets" nullable:"false" doc:"By start, target and version; one without inferences is left out"`
	Trainings   AnalyticsTrainings    `json:"trainings"`
	Deployments []AnalyticsDeployment `json:"deployments" nullable:"false" doc:"What served at some time between from and to, the newest first"`
	// Position is the lifecycle log's, of which trainings and deployments have seen at least this much.
	Position int64 `json:"position" doc:"The position of the lifecycle log that trainings and deployments have at least seen; inferences stand in a log of their own"`
}

// Answered sums up recorded inferences. Latencies are milliseconds, within 1 % of the exact quantiles.
type Answered struct {
	Inferences     int64      `json:"inferences" doc:"Recorded rows; where logging samples, the others are not counted"`
	Errors         int64      `json:"errors" doc:"Those whose outcome is not ok"`
	ErrorRate      *float64   `json:"error_rate"`
	MeanConfidence *float64   `json:"mean_confidence"`
	LatencyMS      *Quantiles `json:"latency_ms" doc:"Within 1 % of the exact quantiles"`
	Accuracy       *float64   `json:"accuracy" doc:"The share of labelled answers that were right"`
	Labelled       int64      `json:"labelled" doc:"Answers that feedback could judge: the first label of each counts, and a sealed prediction is judged by none"`
}

// Quantiles of a distribution.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// AnalyticsBucket is what one version answered at one target from Start on, for a bucket's length.
type AnalyticsBucket struct {
	Start   time.Time      `json:"start"`
	Version domain.Version `json:"version"`
	Target  domain.Target  `json:"target"`
	Answered
}

// AnalyticsTrainings counts trainings by when they started and ended.
type AnalyticsTrainings struct {
	Started        int64    `json:"started"`
	Completed      int64    `json:"completed"`
	Failed         int64    `json:"failed" doc:"Not those that were cancelled"`
	MeanDurationMS *float64 `json:"mean_duration_ms" doc:"From start to end, of those that completed"`
}

// AnalyticsDeployment is a time in which a version served.
type AnalyticsDeployment struct {
	Target  domain.Target  `json:"target"`
	Version domain.Version `json:"version"`
	From    time.Time      `json:"from"`
	To      *time.Time     `json:"to" doc:"null: it serves"`
	Weight  int            `json:"weight" doc:"Percent of the target's traffic, now or at the end"`
}

// AnalyticsFilter says which time, [From, To), and how it is cut.
type AnalyticsFilter struct {
	From, To time.Time
	Bucket   time.Duration // whole minutes
}
