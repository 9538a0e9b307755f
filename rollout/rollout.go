// Package rollout decides canaries: pure functions from counted observations to verdicts.
//
// What it promises: the same numbers give the same verdict; nothing is ever promoted on nothing: no
// samples, NaN and unreachable metrics are inconclusive.
//
// What it does not: it shifts no traffic, keeps no time and reads no log.
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
	Pause    OnInconclusive = "pause"
	Continue OnInconclusive = "continue"
	RollBack OnInconclusive = "rollback"
)

// Rule is a threshold for one metric of the candidate: "error_rate", "latency_ms" (share of answers
// slower than the threshold against 1 − quantile) or "accuracy" (of the labelled answers).
type Rule struct {
	Metric    string  `json:"metric"`
	Op        string  `json:"op"` // "<=" or ">="
	Threshold float64 `json:"threshold"`
	Quantile  float64 `json:"quantile,omitempty"` // latency_ms only; default 0.99
	Required  bool    `json:"required,omitempty"`
}

// Counts is what the log says of a candidate since its rollout began. It is folded from the log.
type Counts struct {
	Requests int64 `json:"requests"` // answered or failed, after warm-up
	Errors   int64 `json:"errors"`
	// ErrorRun is how many of the latest requests failed one after the other.
	ErrorRun int64 `json:"error_run"`
	// Slow counts answers slower than a limit, by the limit in ms of each latency rule.
	Slow     map[float64]int64 `json:"-"`
	Labelled int64             `json:"labelled"`
	Wrong    int64             `json:"wrong"`
}
