package domain

// TrainingJob is the state of a TrainingJob stream: what happens between a job's start and its version.
// Whether the job runs stands in the Model.
type TrainingJob struct {
	Epoch              int
	Step               int64
	ProgressPercentage float64
	Metrics            map[string]float64  // of the last progress
	Evaluation         *CandidateEvaluated // nil until evaluated
	Approval           Approval
	Revision           int64
}

// Approval is where the question for a person stands. The zero value was never asked.
type Approval struct {
	Requested *ApprovalRequested
	Decided   *ApprovalDecided
}

// Open tells whether a decision is awaited.
func (a Approval) Open() bool { return a.Requested != nil && a.Decided == nil }

// Given tells whether nothing stands in the way: it was approved, or never asked for.
func (a Approval) Given() bool {
	return a.Requested == nil || a.Decided != nil && a.Decided.Decision == Approved
}

// State is "not requested", "requested", "approved" or "rejected".
func (a Approval) State() string {
	switch {
	case a.Decided != nil:
		return string(a.Decided.Decision)
	case a.Requested != nil:
		return "requested"
	default:
		return "not requested"
	}
}

// Evolve folds the next event of the job's stream.
func (j *TrainingJob) Evolve(r Recorded) {
	j.Revision = r.Revision
	switch e := r.Event.(type) {
	case TrainingProgressUpdated:
		j.Epoch, j.Step, j.ProgressPercentage = e.Epoch, e.Step, e.ProgressPercentage
		j.Metrics = e.Metrics
	case CandidateEvaluated:
		j.Evaluation = &e
	case ApprovalRequested:
		j.Approval = Approval{Requested: &e}
	case ApprovalDecided:
		j.Approval.Decided = &e
	case ModelCreated, ModelConfigurationUpdated, ModelMetadataUpdated, TrainingStarted,
		TrainingCompleted, TrainingFailed, ModelVersionCreated, RolloutStarted, RolloutPromoted,
		RolloutRolledBack, ModelDeployed, ModelUndeployed, AliasAssigned, AliasRemoved, ModelArchived, ModelDeleted,
		TrafficShifted, RolloutAssessed, InferenceMade, FeedbackRecorded:
		// They stand in other streams.
	}
}
