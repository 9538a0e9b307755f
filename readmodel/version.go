package readmodel

import (
	"time"

	"phantom/domain"
)

// Version is one immutable trained model.
type Version struct {
	ModelID           domain.ModelID     `json:"model_id"`
	Version           domain.Version     `json:"version"`
	PreviousVersion   *domain.Version    `json:"previous_version"`
	ArtifactsLocation domain.Digest      `json:"artifacts_location"`
	Metrics           map[string]float64 `json:"metrics"`
	Signature         *domain.Signature  `json:"signature"`
	TrainingJobID     *domain.JobID      `json:"training_job_id"`
	Modification      string             `json:"modification"`
	CreatedAt         time.Time          `json:"created_at"`
	CreatedBy         domain.Actor       `json:"created_by"`
	DeployedTargets   []domain.Target    `json:"deployed_targets"`
	Aliases           []domain.Alias     `json:"aliases"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}
