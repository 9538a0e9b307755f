package domain

import "encoding/json"

// Traffic is the split of a target's requests over versions, in percent; the weights sum to 100.
type Traffic map[Version]int

// RolloutStarted is recorded in the MLModel stream. From here on nobody else rolls out at the target.
type RolloutStarted struct {
	RolloutID       RolloutID       `json:"rollout_id"`
	Version         Version         `json:"version"`
	PreviousVersion Version         `json:"previous_version,omitempty"` // the champion; empty for a first deployment
	Target          Target          `json:"target"`
	Strategy        json.RawMessage `json:"strategy,omitempty"`
	// ObserveAfter is the inference log's position at the start: the canary is measured from what
	// stands after it.
	ObserveAfter int64 `json:"observe_after"`
}

// RolloutPromoted is recorded in the MLModel stream, together with ModelDeployed.
type RolloutPromoted struct {
	RolloutID RolloutID `json:"rollout_id"`
	Version   Version   `json:"version"`
	Target    Target    `json:"target"`
	Reason    string    `json:"reason,omitempty"` // "initial", "canary", "promoted by on-call", …
}

// RolloutRolledBack is recorded in the MLModel stream; the target serves RestoredVersion alone again,
// or nothing when there was no champion.
type RolloutRolledBack struct {
	RolloutID       RolloutID `json:"rollout_id"`
	Version         Version   `json:"version"`
	RestoredVersion Version   `json:"restored_version,omitempty"`
	Target          Target    `json:"target"`
	Reason          string    `json:"reason"`
}

// TrafficShifted is recorded in the Rollout stream. Gateways order shifts by log position;
// RouteGeneration counts the shifts of this rollout from 1.
type TrafficShifted struct {
	Target          Target  `json:"target"`
	Weights         Traffic `json:"weights"`
	RouteGeneration int64   `json:"route_generation"`
}

// RolloutAssessed is recorded in the Rollout stream: a verdict with the numbers and the rules in force.
type RolloutAssessed struct {
	Step    int                `json:"step"` // 1-based canary step
	Verdict Verdict            `json:"verdict"`
	Reason  string             `json:"reason,omitempty"`
	Metrics []MetricAssessment `json:"metrics"`
	// InferencePosition is the inference log's position up to which the numbers count.
	InferencePosition int64 `json:"inference_position"`
}

// Verdict is what an assessment says of a candidate.
type Verdict string

// The verdicts.
const (
	VerdictPassed       Verdict = "passed"
	VerdictFailed       Verdict = "failed"
	VerdictInconclusive Verdict = "inconclusive"
)

// MetricAssessment is one metric's part of a verdict: cumulative over the rollout, candidate only.
type MetricAssessment struct {
	Metric    string   `json:"metric"`
	Op        string   `json:"op"`
	Threshold float64  `json:"threshold"`
	Quantile  float64  `json:"quantile,omitempty"`
	Required  bool     `json:"required,omitempty"`
	Test      string   `json:"test"`               // "sprt"
	Samples   int64    `json:"samples"`            // observations that count
	Failures  int64    `json:"failures"`           // of them bad ones: errors, wrong or slow answers
	Estimate  *float64 `json:"estimate,omitempty"` // the point estimate; absent without samples
	Statistic float64  `json:"statistic"`          // log likelihood ratio, positive speaks against the candidate
	Lower     float64  `json:"lower"`              // at or below: accepted
	Upper     float64  `json:"upper"`              // at or above: failed
	Verdict   Verdict  `json:"verdict"`
	// Needed is how many more good samples would accept the metric; 0 when decided or unknown.
	Needed int64 `json:"needed,omitempty"`
}

// StartRollout asks for RolloutStarted.
type StartRollout struct {
	ModelID      ModelID         `json:"model_id"`
	RolloutID    RolloutID       `json:"rollout_id"`
	Version      Version         `json:"version"`
	Target       Target          `json:"target"`
	Strategy     json.RawMessage `json:"strategy,omitempty"`
	ObserveAfter int64           `json:"observe_after"`
}

// PromoteRollout asks for RolloutPromoted and ModelDeployed.
type PromoteRollout struct {
	ModelID          ModelID         `json:"model_id"`
	RolloutID        RolloutID       `json:"rollout_id"`
	DeploymentConfig json.RawMessage `json:"deployment_config,omitempty"`
	Reason           string          `json:"reason,omitempty"`
}

// RollBackRollout asks for RolloutRolledBack.
type RollBackRollout struct {
	ModelID   ModelID   `json:"model_id"`
	RolloutID RolloutID `json:"rollout_id"`
	Reason    string    `json:"reason"`
}

// ShiftTraffic asks for TrafficShifted; refused when the rollout does not run, a weight is negative or
// of another version than candidate and champion, or the weights do not sum to 100. Equal weights
// twice in a row change nothing.
type ShiftTraffic struct {
	ModelID   ModelID   `json:"model_id"`
	RolloutID RolloutID `json:"rollout_id"`
	Weights   Traffic   `json:"weights"`
}

// AssessRollout asks for RolloutAssessed.
type AssessRollout struct {
	ModelID           ModelID            `json:"model_id"`
	RolloutID         RolloutID          `json:"rollout_id"`
	Step              int                `json:"step"`
	Verdict           Verdict            `json:"verdict"`
	Reason            string             `json:"reason,omitempty"`
	Metrics           []MetricAssessment `json:"metrics"`
	InferencePosition int64              `json:"inference_position"`
}
