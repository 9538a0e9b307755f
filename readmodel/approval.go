package readmodel

import (
	"time"

	"phantom/domain"
)

// ApprovalState is where an approval stands.
type ApprovalState string

// The states of an approval. One that expired is rejected, with the note "expired".
const (
	ApprovalWaiting  ApprovalState = "waiting"
	ApprovalApproved ApprovalState = "approved"
	ApprovalRejected ApprovalState = "rejected"
	// ApprovalMoot is one that was never decided, because its rollout ended before.
	ApprovalMoot ApprovalState = "moot"
)

// Approval is a question to a person, and the answer.
type Approval struct {
	State           ApprovalState `json:"state"`
	RequestedBy     domain.Actor  `json:"requested_by"`
	RequestedAt     time.Time     `json:"requested_at"`
	ExpiresAt       time.Time     `json:"expires_at"`
	ForbidRequester bool          `json:"forbid_requester"`
	DecidedBy       *domain.Actor `json:"decided_by"`
	DecidedAt       *time.Time    `json:"decided_at"`
	Note            string        `json:"note"`
}

// WaitingApproval is an approval that waits for a person: of a training's candidate (TrainingJobID) or
// of a rollout (RolloutID, Version, Target).
type WaitingApproval struct {
	ModelID       domain.ModelID    `json:"model_id"`
	SagaID        string            `json:"saga_id"`
	TrainingJobID *domain.JobID     `json:"training_job_id"`
	RolloutID     *domain.RolloutID `json:"rollout_id"`
	Version       *domain.Version   `json:"version"`
	Target        *domain.Target    `json:"target"`
	Approval      Approval          `json:"approval"`
}
