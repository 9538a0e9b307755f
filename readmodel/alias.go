package readmodel

import (
	"time"

	"phantom/domain"
)

// Alias is what an alias of a model names.
type Alias struct {
	ModelID         domain.ModelID  `json:"model_id"`
	Alias           domain.Alias    `json:"alias"`
	Version         domain.Version  `json:"version"`
	PreviousVersion *domain.Version `json:"previous_version"` // that it named before; null when it was free
	Reason          string          `json:"reason"`
	AssignedAt      time.Time       `json:"assigned_at"`
	AssignedBy      domain.Actor    `json:"assigned_by"`
	// Since is the position of the log from which on it names this version.
	Since int64 `json:"-"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}
