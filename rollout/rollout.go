// Package rollout decides canaries: pure functions from what was observed to a verdict, and from
// verdicts and a person's messages to the next move.
//
// What it promises: the same observations in the same order give the same verdict, however they were
// batched. A metric that has failed stays failed, and more bad answers never turn a failure into a
// pass. Nothing is promoted on nothing: without samples a metric is inconclusive, and only a person
// can promote past that. A good candidate (no metric worse than its threshold) is rolled back by
// chance in at most about one rollout in a hundred, however long it runs and however often one looks.
//
// What it does not: it shifts no traffic, keeps no time, draws no random number and reads no log.
//
// The parts in the order in which a saga meets them: Strategy (what a user asks for), Analysis and
// Tally (the sequential tests and their counts), Evidence (the same, fed with answers and labels by
// id), Assessment (the verdict with its numbers), Plan (the steps and what to do next).
package rollout

// Strategy is how a version gets its traffic.
type Strategy struct {
	Canary Canary `json:"canary"`
}

// Canary is the plan of a gradual rollout. Durations are Go duration strings ("30s").
type Canary struct {
	Steps          []Step         `json:"steps"`
	MaxHold        string         `json:"max_hold"`        // of one step
	OnInconclusive OnInconclusive `json:"on_inconclusive"` // when max_hold has passed
	Analysis       []Rule         `json:"analysis"`
}

// Step is a share of traffic, and the least time to hold it.
type Step struct {
	Weight int    `json:"weight"` // percent of the candidate, 1 to 100
	Hold   string `json:"hold"`
}

// OnInconclusive says what happens when max_hold passes without a verdict.
type OnInconclusive string

// What to do without a verdict.
const (
	OnInconclusivePause    OnInconclusive = "pause"    // wait for a person, or for the numbers
	OnInconclusiveContinue OnInconclusive = "continue" // go on, but never promote on no samples
	OnInconclusiveRollBack OnInconclusive = "rollback"
)

// Metric names what a rule tests.
type Metric string

// The metrics. Each is a share of bad samples, and so a Bernoulli test.
const (
	ErrorRate Metric = "error_rate" // of all requests, those that were not answered
	LatencyMS Metric = "latency_ms" // of the answers, those slower than the threshold
	Accuracy  Metric = "accuracy"   // of the labelled answers, those that were right
)

// The comparisons of a rule.
const (
	AtMost  = "<="
	AtLeast = ">="
)

// Rule is a threshold for one metric of the candidate.
type Rule struct {
	Metric Metric `json:"metric"`
	Op     string `json:"op"` // "<=" for error_rate and latency_ms, ">=" for accuracy
	// Threshold is a share in (0,1) for error_rate, milliseconds for latency_ms, a share in (0.05,1]
	// for accuracy.
	Threshold float64 `json:"threshold"`
	Quantile  float64 `json:"quantile,omitempty"` // latency_ms only; default 0.99
	// Required keeps a candidate from promotion until the metric is accepted. A rule that is not
	// required can only fail it.
	Required bool `json:"required,omitempty"`
}

// Invalid names a bad field as a path ("strategy.canary.steps[1].weight") and what is wrong with it.
type Invalid struct{ Field, Reason string }

func (e *Invalid) Error() string { return e.Field + ": " + e.Reason }
