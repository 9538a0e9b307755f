package domain

import "time"

// ApprovalRequested is recorded in the TrainingJob or the Rollout stream.
type ApprovalRequested struct {
	RequestedBy Actor     `json:"requested_by"`
	ExpiresAt   time.Time `json:"expires_at"`
	// ForbidRequester refuses a decision by the subject who asked.
	ForbidRequester bool `json:"forbid_requester,omitempty"`
}

// ApprovalDecided is recorded in the TrainingJob or the Rollout stream.
type ApprovalDecided struct {
	Decision Decision `json:"decision"`
	By       Actor    `json:"by"`
	Note     string   `json:"note,omitempty"` // the reason of a rejection; "expired" when time ran out
}

// Decision is the outcome of an approval.
type Decision string

// The outcomes of an approval. One that expires is a rejection with the note "expired".
const (
	Approved Decision = "approved"
	Rejected Decision = "rejected"
)

// Subject of an approval: exactly one of the two ids is given.
type Subject struct {
	TrainingJobID JobID     `json:"training_job_id,omitempty"`
	RolloutID     RolloutID `json:"rollout_id,omitempty"`
}

// RequestApproval asks for ApprovalRequested on a training's candidate or on a rollout.
type RequestApproval struct {
	ModelID         ModelID   `json:"model_id"`
	Subject         Subject   `json:"subject"`
	RequestedBy     Actor     `json:"requested_by"`
	ExpiresAt       time.Time `json:"expires_at"`
	ForbidRequester bool      `json:"forbid_requester,omitempty"`
}

// DecideApproval asks for ApprovalDecided; refused when nothing was asked or it is decided already.
type DecideApproval struct {
	ModelID  ModelID  `json:"model_id"`
	Subject  Subject  `json:"subject"`
	Decision Decision `json:"decision"`
	By       Actor    `json:"by"`
	Note     string   `json:"note,omitempty"`
}
