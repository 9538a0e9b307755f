package activities

import (
	"context"

	"phantom/domain"
)

// Approvals records what people are asked and what they answer.
type Approvals struct{ Commands Commands }

// ApprovalRequest is the input of RequestApproval.
type ApprovalRequest struct {
	Origin
	Command domain.RequestApproval `json:"command"`
}

// ApprovalDecision is the input of DecideApproval.
type ApprovalDecision struct {
	Origin
	Command domain.DecideApproval `json:"command"`
}

// RequestApproval records that somebody's approval is waited for.
func (a *Approvals) RequestApproval(ctx context.Context, in ApprovalRequest) (domain.Result, error) {
	result, err := in.Do(ctx, a.Commands, in.Command)
	return result, Refusal(err)
}

// DecideApproval records the answer.
func (a *Approvals) DecideApproval(ctx context.Context, in ApprovalDecision) (domain.Result, error) {
	result, err := in.Do(ctx, a.Commands, in.Command)
	return result, Refusal(err)
}
