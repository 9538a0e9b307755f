package domain

import "encoding/json"

// DatasetInfo describes one snapshot of data. Before the snapshot is taken only URI and Label are known.
type DatasetInfo struct {
	URI    string            `json:"uri"`
	Digest Digest            `json:"digest,omitempty"`
	Format string            `json:"format,omitempty"` // "csv"
	Rows   int64             `json:"rows,omitempty"`
	Schema map[string]string `json:"schema,omitempty"` // column → "number" or "string"
	Split  string            `json:"split,omitempty"`  // "row-hash 80/20", or "train" and "test" for channels of their own
	Label  string            `json:"label,omitempty"`
}

// TrainingConfig is what a job was asked to do.
type TrainingConfig struct {
	Trainer   string          `json:"trainer"` // kind or profile: "embedded"
	Algorithm string          `json:"algorithm"`
	Params    json.RawMessage `json:"params,omitempty"`
	Seed      int64           `json:"seed"`
	Gates     []Gate          `json:"gates,omitempty"`
}

// Gate is a threshold that a candidate must meet.
type Gate struct {
	Metric    string  `json:"metric"`
	Op        string  `json:"op"` // ">=", ">", "<=", "<"
	Threshold float64 `json:"threshold"`
}

// GateResult is a gate held against a candidate's value; Value is nil when the metric is missing.
type GateResult struct {
	Gate
	Value  *float64 `json:"value"`
	Passed bool     `json:"passed"`
}

// TrainingStarted is recorded in the MLModel stream.
type TrainingStarted struct {
	TrainingJobID  JobID          `json:"training_job_id"`
	TrainingConfig TrainingConfig `json:"training_config"`
	DatasetInfo    []DatasetInfo  `json:"dataset_info"` // channels in order: train, test
	Concurrent     bool           `json:"concurrent,omitempty"`
}

// TrainingCompleted is recorded in the MLModel stream.
type TrainingCompleted struct {
	TrainingJobID      JobID              `json:"training_job_id"`
	FinalMetrics       map[string]float64 `json:"final_metrics"`
	ArtifactsLocation  Digest             `json:"artifacts_location"`
	TrainingDurationMS int64              `json:"training_duration_ms"`
	DatasetInfo        []DatasetInfo      `json:"dataset_info,omitempty"` // with digests
	CodeDigest         string             `json:"code_digest,omitempty"`
}

// TrainingFailed is recorded in the MLModel stream.
type TrainingFailed struct {
	TrainingJobID JobID         `json:"training_job_id"`
	FailureReason FailureReason `json:"failure_reason"`
	ErrorDetails  string        `json:"error_details,omitempty"`
}

// FailureReason is why a job ended without artifacts.
type FailureReason string

// The ways in which a job fails.
const (
	FailureFailed    FailureReason = "failed"
	FailureCancelled FailureReason = "cancelled"
)

// TrainingProgressUpdated is recorded in the TrainingJob stream.
type TrainingProgressUpdated struct {
	Epoch              int                `json:"epoch"`
	Step               int64              `json:"step"`
	Metrics            map[string]float64 `json:"metrics,omitempty"`
	ProgressPercentage float64            `json:"progress_percentage"` // 0 to 100
}

// CandidateEvaluated is recorded in the TrainingJob stream.
type CandidateEvaluated struct {
	Metrics         map[string]float64 `json:"metrics"`                    // accuracy, precision, recall, f1 (macro), …
	ConfusionMatrix [][]int64          `json:"confusion_matrix,omitempty"` // [true class][predicted class]
	Labels          []string           `json:"labels,omitempty"`
	Rows            int64              `json:"rows"`
	Gates           []GateResult       `json:"gates,omitempty"`
	Passed          bool               `json:"passed"`
}

// StartTraining asks for TrainingStarted; refused while another job runs unless Concurrent.
type StartTraining struct {
	ModelID        ModelID        `json:"model_id"`
	TrainingJobID  JobID          `json:"training_job_id"`
	TrainingConfig TrainingConfig `json:"training_config"`
	DatasetInfo    []DatasetInfo  `json:"dataset_info"`
	Concurrent     bool           `json:"concurrent,omitempty"`
}

// RecordTrainingProgress asks for TrainingProgressUpdated; refused when the job does not run or the
// progress goes back. Meta.At tells when it was made.
type RecordTrainingProgress struct {
	ModelID            ModelID            `json:"model_id"`
	TrainingJobID      JobID              `json:"training_job_id"`
	Epoch              int                `json:"epoch"`
	Step               int64              `json:"step"`
	Metrics            map[string]float64 `json:"metrics,omitempty"`
	ProgressPercentage float64            `json:"progress_percentage"`
}

// CompleteTraining asks for TrainingCompleted.
type CompleteTraining struct {
	ModelID            ModelID            `json:"model_id"`
	TrainingJobID      JobID              `json:"training_job_id"`
	FinalMetrics       map[string]float64 `json:"final_metrics"`
	ArtifactsLocation  Digest             `json:"artifacts_location"`
	TrainingDurationMS int64              `json:"training_duration_ms"`
	DatasetInfo        []DatasetInfo      `json:"dataset_info,omitempty"`
	CodeDigest         string             `json:"code_digest,omitempty"`
}

// FailTraining asks for TrainingFailed.
type FailTraining struct {
	ModelID       ModelID       `json:"model_id"`
	TrainingJobID JobID         `json:"training_job_id"`
	FailureReason FailureReason `json:"failure_reason"`
	ErrorDetails  string        `json:"error_details,omitempty"`
}

// EvaluateCandidate asks for CandidateEvaluated; refused unless the job is completed and not evaluated.
type EvaluateCandidate struct {
	ModelID         ModelID            `json:"model_id"`
	TrainingJobID   JobID              `json:"training_job_id"`
	Metrics         map[string]float64 `json:"metrics"`
	ConfusionMatrix [][]int64          `json:"confusion_matrix,omitempty"`
	Labels          []string           `json:"labels,omitempty"`
	Rows            int64              `json:"rows"`
	Gates           []GateResult       `json:"gates,omitempty"`
}
