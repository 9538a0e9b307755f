package readmodel

import (
	"time"

	"phantom/domain"
)

// TrainingState is what became of a training job.
type TrainingState string

// The states of a training job.
const (
	TrainingRunning   TrainingState = "running"
	TrainingCompleted TrainingState = "completed"
	TrainingFailed    TrainingState = "failed"
	TrainingCancelled TrainingState = "cancelled"
)

// Training is one run of a trainer.
type Training struct {
	TrainingJobID domain.JobID   `json:"training_job_id"`
	ModelID       domain.ModelID `json:"model_id"`
	// SagaID is the workflow that started it; empty when it was no workflow.
	SagaID   string        `json:"saga_id"`
	State    TrainingState `json:"state"`
	Progress float64       `json:"progress"` // percent, 0 to 100
	Epoch    int           `json:"epoch"`    // the last one reported
	Step     int64         `json:"step"`
	// Metrics are the last epoch's while it runs, then the final ones, then with the evaluation's over
	// them.
	Metrics           map[string]float64    `json:"metrics"`
	Config            domain.TrainingConfig `json:"config"`
	Datasets          []domain.DatasetInfo  `json:"datasets"`
	ArtifactsLocation *domain.Digest        `json:"artifacts_location"`
	CodeDigest        string                `json:"code_digest"`
	DurationMS        *int64                `json:"duration_ms"`
	Evaluation        *Evaluation           `json:"evaluation"`
	Approval          *Approval             `json:"approval"`
	StartedAt         time.Time             `json:"started_at"`
	StartedBy         domain.Actor          `json:"started_by"`
	EndedAt           *time.Time            `json:"ended_at"`
	// Version is the version that was made of it.
	Version       *domain.Version       `json:"version"`
	FailureReason *domain.FailureReason `json:"failure_reason"`
	ErrorDetails  string                `json:"error_details"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// Evaluation is a candidate held against the held-out rows and the gates.
type Evaluation struct {
	Metrics         map[string]float64  `json:"metrics"`
	ConfusionMatrix [][]int64           `json:"confusion_matrix"` // [true class][predicted class]
	Labels          []string            `json:"labels"`
	Rows            int64               `json:"rows"`
	Gates           []domain.GateResult `json:"gates"`
	Passed          bool                `json:"passed"`
	At              time.Time           `json:"at"`
}

// TrainingFilter narrows ListTrainings; what is empty does not narrow.
type TrainingFilter struct {
	ModelID domain.ModelID
	State   TrainingState
	AsOf    int64 // a position of the lifecycle log; 0 means now
}

// Curve is one metric of a training over its epochs, oldest first.
type Curve struct {
	Metric string  `json:"metric"`
	Points []Point `json:"points"`
}

// Point is a metric's value at the end of an epoch.
type Point struct {
	Epoch int       `json:"epoch"`
	Step  int64     `json:"step"`
	Value float64   `json:"value"`
	At    time.Time `json:"at"`
}
