package readmodel

import (
	"encoding/json"
	"time"

	"phantom/domain"
)

// Model is the catalogue's answer about one model.
type Model struct {
	ModelID   domain.ModelID `json:"model_id"`
	Name      string         `json:"name"`
	ModelType string         `json:"model_type"`
	Algorithm string         `json:"algorithm"`
	Status    domain.Status  `json:"status"`
	// CurrentVersion is the latest registered version, deployed or not; nil before the first.
	CurrentVersion  *domain.Version `json:"current_version"`
	DeployedTargets []domain.Target `json:"deployed_targets"`
	ActiveTrainings int             `json:"active_trainings"`
	// Metrics are the current version's, all of them; the four well-known ones stand beside them.
	Metrics         map[string]float64 `json:"metrics"`
	Accuracy        *float64           `json:"accuracy"`
	Precision       *float64           `json:"precision"`
	Recall          *float64           `json:"recall"`
	F1              *float64           `json:"f1"`
	Tags            map[string]string  `json:"tags"`
	Description     string             `json:"description"`
	IntendedPurpose string             `json:"intended_purpose"`
	Config          json.RawMessage    `json:"config"`
	Counts          ModelCounts        `json:"counts"`
	Revision        int64              `json:"revision"`
	CreatedAt       time.Time          `json:"created_at"`
	CreatedBy       domain.Actor       `json:"created_by"`
	UpdatedAt       time.Time          `json:"updated_at"`
	LastInferenceAt *time.Time         `json:"last_inference_at"` // nil before the first, and of the past
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// ModelCounts counts what ever happened to a model.
type ModelCounts struct {
	Versions    int64 `json:"versions"`
	Trainings   int64 `json:"trainings"`
	Deployments int64 `json:"deployments"`
	// Inferences counts logged rows. They have a log of their own, of which the past of this one knows nothing: nil.
	Inferences *int64 `json:"inferences"`
}

// ModelFilter narrows ListModels; what is empty does not narrow, and all that is given must hold.
type ModelFilter struct {
	Status    domain.Status
	ModelType string
	Algorithm string
	Tags      map[string]string
	// AsOf answers as of a position of the lifecycle log; 0 means now.
	AsOf int64
}
