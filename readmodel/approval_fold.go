package readmodel

import "phantom/domain"

// asked is the approval that an ApprovalRequested begins.
func asked(r recorded, e domain.ApprovalRequested) *Approval {
	return &Approval{
		State: ApprovalWaiting, RequestedBy: e.RequestedBy, RequestedAt: r.OccurredAt,
		ExpiresAt: e.ExpiresAt, ForbidRequester: e.ForbidRequester,
	}
}

// decided is the approval after an ApprovalDecided.
func (a Approval) decided(r recorded, e domain.ApprovalDecided) *Approval {
	a.State = ApprovalRejected
	if e.Decision == domain.Approved {
		a.State = ApprovalApproved
	}
	a.DecidedBy, a.DecidedAt, a.Note = &e.By, &r.OccurredAt, e.Note
	return &a
}

// approve folds an event of a training's or a rollout's stream into its approval.
func approve(former *Approval, r recorded) (*Approval, error) {
	switch e := r.Event.(type) {
	case domain.ApprovalRequested:
		return asked(r, e), nil
	case domain.ApprovalDecided:
		if former == nil {
			return nil, missing("approval in", r.Stream.ID)
		}
		return former.decided(r, e), nil
	default:
		return former, nil
	}
}

// stateOf is the approval's state for its column, where an index finds those that wait.
func stateOf(a *Approval) *ApprovalState {
	if a == nil {
		return nil
	}
	return &a.State
}
