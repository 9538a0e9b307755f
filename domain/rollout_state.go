package domain

import "maps"

// Rollout is the state of a Rollout stream: what happens between a rollout's start and its end. Whether
// it runs, and of what, stands in the Model.
type Rollout struct {
	Weights         Traffic // nil before the first shift
	RouteGeneration int64
	Assessed        *RolloutAssessed // the last verdict, or nil
	Approval        Approval
	Revision        int64
}

// Evolve folds the next event of the rollout's stream.
func (s *Rollout) Evolve(r Recorded) {
	s.Revision = r.Revision
	switch e := r.Event.(type) {
	case TrafficShifted:
		s.Weights, s.RouteGeneration = e.Weights, e.RouteGeneration
	case RolloutAssessed:
		s.Assessed = &e
	case ApprovalRequested:
		s.Approval = Approval{Requested: &e}
	case ApprovalDecided:
		s.Approval.Decided = &e
	case ModelCreated, ModelConfigurationUpdated, ModelMetadataUpdated, TrainingStarted,
		TrainingCompleted, TrainingFailed, ModelVersionCreated, RolloutStarted, RolloutPromoted,
		RolloutRolledBack, ModelDeployed, ModelUndeployed, AliasAssigned, AliasRemoved, ModelArchived, ModelDeleted,
		TrainingProgressUpdated, CandidateEvaluated, InferenceMade, FeedbackRecorded:
		// They stand in other streams.
	}
}

// Sum is the sum of the weights; a valid split has 100.
func (t Traffic) Sum() int {
	sum := 0
	for _, weight := range t {
		sum += weight
	}
	return sum
}

// withoutZeros is the same split: a version that is not named gets nothing.
func (t Traffic) withoutZeros() Traffic {
	split := maps.Clone(t)
	maps.DeleteFunc(split, func(_ Version, weight int) bool { return weight == 0 })
	return split
}
