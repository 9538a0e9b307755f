package domain

import "fmt"

// Expired is the note of a rejection that came because time ran out.
const Expired = "expired"

func (c RequestApproval) validate(v *checks) {
	v.model(c.ModelID)
	v.subject(c.Subject)
	v.actor("requested_by", c.RequestedBy)
	v.require(!c.ExpiresAt.IsZero(), "expires_at", "is required")
}

func (v *checks) subject(s Subject) {
	switch {
	case (s.TrainingJobID == "") == (s.RolloutID == ""):
		v.refuse("subject", "must name a training_job_id or a rollout_id, and not both")
	case s.RolloutID != "":
		v.rollout("subject.rollout_id", s.RolloutID)
	default:
		v.job("subject.training_job_id", s.TrainingJobID)
	}
}

func (c RequestApproval) decide(a Aggregates) ([]Event, error) {
	approval, err := a.approval(c.ModelID, c.Subject)
	if err != nil {
		return nil, err
	}
	if approval.Requested != nil {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("an approval of %s was requested before", c.Subject),
			Current: approval.State(), Allowed: allowedBy(approval),
		}
	}
	return []Event{ApprovalRequested{
		RequestedBy: c.RequestedBy, ExpiresAt: c.ExpiresAt.Round(0).UTC(), ForbidRequester: c.ForbidRequester,
	}}, nil
}

func (c DecideApproval) validate(v *checks) {
	v.model(c.ModelID)
	v.subject(c.Subject)
	v.actor("by", c.By)
	v.require(c.Decision == Approved || c.Decision == Rejected, "decision", "must be approved or rejected")
	v.text("note", c.Note, maxReason)
}

func (c DecideApproval) decide(a Aggregates) ([]Event, error) {
	approval, err := a.approval(c.ModelID, c.Subject)
	if err != nil {
		return nil, err
	}
	if !approval.Open() {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("no approval of %s is awaited", c.Subject),
			Current: approval.State(), Allowed: allowedBy(approval),
		}
	}
	asked := approval.Requested
	expired := c.Decision == Rejected && c.Note == Expired
	if asked.ForbidRequester && asked.RequestedBy.Subject == c.By.Subject && !expired {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("%s requested the approval of %s, so somebody else must decide it", c.By.Subject, c.Subject),
			Current: approval.State(), Allowed: []string{"DecideApproval by somebody else"},
		}
	}
	return []Event{ApprovalDecided{Decision: c.Decision, By: c.By, Note: c.Note}}, nil
}

// approval finds where the approval of the subject stands, and refuses a subject that none can be
// about now: a candidate must be evaluated, a rollout must run.
func (a Aggregates) approval(model ModelID, s Subject) (Approval, error) {
	if s.RolloutID != "" {
		_, err := a.Model.rolloutRuns(model, s.RolloutID)
		return a.Rollout.Approval, err
	}
	if err := a.Model.active(model); err != nil {
		return Approval{}, err
	}
	if err := a.Model.inState(s.TrainingJobID, JobCompleted, "job %s has no candidate to approve"); err != nil {
		return Approval{}, err
	}
	if a.Training.Evaluation == nil {
		return Approval{}, &InvalidState{
			Reason:  fmt.Sprintf("the candidate of job %s was not evaluated yet", s.TrainingJobID),
			Current: string(JobCompleted), Allowed: []string{"EvaluateCandidate"},
		}
	}
	return a.Training.Approval, nil
}

// cleared refuses while an approval is awaited, and after a rejection.
func (a Approval) cleared(s Subject) error {
	if a.Given() {
		return nil
	}
	return &InvalidState{
		Reason:  fmt.Sprintf("the approval of %s is not given", s),
		Current: a.State(), Allowed: allowedBy(a),
	}
}

func allowedBy(a Approval) []string {
	switch {
	case a.Open():
		return []string{"DecideApproval"}
	case a.Requested == nil:
		return []string{"RequestApproval"}
	default:
		return nil
	}
}

// String names the subject in a sentence.
func (s Subject) String() string {
	if s.RolloutID != "" {
		return "rollout " + string(s.RolloutID)
	}
	return "job " + string(s.TrainingJobID)
}
