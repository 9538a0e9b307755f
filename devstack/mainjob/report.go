package mainjob

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ReportFile is the report's name in the state folder.
const ReportFile = "report.json"

// Report is what a run of the main job did. Positions are those of the tenant's lifecycle log.
type Report struct {
	Run         string             `json:"run"`
	StartedAt   time.Time          `json:"started_at"`
	DurationMS  int64              `json:"duration_ms"`
	Trainings   []TrainingReport   `json:"trainings"`
	Deployments []DeploymentReport `json:"deployments"`
	Kill        KillReport         `json:"kill"`
	Digests     DigestReport       `json:"digests"`
	Before      moment             `json:"before_c"`
	After       moment             `json:"after_c"`
	// FirstStepMS is from the job's start to the first training step.
	FirstStepMS int64 `json:"first_step_ms"`
}

// TrainingReport is one TrainModel.
type TrainingReport struct {
	Name              string  `json:"name"`
	ModelID           string  `json:"model_id"`
	SagaID            string  `json:"saga_id"`
	TrainingJobID     string  `json:"training_job_id"`
	Outcome           string  `json:"outcome"`
	Version           string  `json:"version"`
	Accuracy          float64 `json:"accuracy"`
	ArtifactsLocation string  `json:"artifacts_location"`
	Position          int64   `json:"position"`
}

// DeploymentReport is one DeployModel; Verdicts are as the saga gave them.
type DeploymentReport struct {
	Name      string          `json:"name"`
	SagaID    string          `json:"saga_id"`
	RolloutID string          `json:"rollout_id"`
	Version   string          `json:"version"`
	Previous  string          `json:"previous"`
	Outcome   string          `json:"outcome"`
	Initial   bool            `json:"initial"`
	Reason    string          `json:"reason"`
	Verdicts  json.RawMessage `json:"verdicts"`
	Position  int64           `json:"position"`
	Requests  int64           `json:"requests"` // that this job sent meanwhile
}

// KillReport is the kill -9 of the worker in the middle of training A.
type KillReport struct {
	AtEpoch     int   `json:"at_epoch"`
	Epochs      int   `json:"epochs"`
	RecoveredMS int64 `json:"recovered_ms"` // until a later epoch was seen
}

// DigestReport compares the killed training's artifact with that of an undisturbed one.
type DigestReport struct {
	Killed      string `json:"killed"`
	Undisturbed string `json:"undisturbed"`
}

// moment is the model as of a position.
type moment struct {
	Position       int64    `json:"position"`
	CurrentVersion string   `json:"current_version"`
	Deployed       []string `json:"deployed"` // "2@local"
}

func (r *Report) training(name string) TrainingReport {
	for _, t := range r.Trainings {
		if t.Name == name {
			return t
		}
	}
	return TrainingReport{}
}

// last is the position of the last saga's last event.
func (r *Report) last() int64 {
	last := int64(0)
	for _, t := range r.Trainings {
		last = max(last, t.Position)
	}
	for _, d := range r.Deployments {
		last = max(last, d.Position)
	}
	return last
}

func (r *Report) write(folder string) error {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	path := filepath.Join(folder, ReportFile)
	if err := os.WriteFile(path, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
