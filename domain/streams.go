package domain

// Events of the MLModel stream.

func (ModelCreated) isEvent()              {}
func (ModelConfigurationUpdated) isEvent() {}
func (ModelMetadataUpdated) isEvent()      {}
func (TrainingStarted) isEvent()           {}
func (TrainingCompleted) isEvent()         {}
func (TrainingFailed) isEvent()            {}
func (ModelVersionCreated) isEvent()       {}
func (RolloutStarted) isEvent()            {}
func (RolloutPromoted) isEvent()           {}
func (RolloutRolledBack) isEvent()         {}
func (ModelDeployed) isEvent()             {}
func (ModelUndeployed) isEvent()           {}
func (AliasAssigned) isEvent()             {}
func (AliasRemoved) isEvent()              {}
func (ModelArchived) isEvent()             {}
func (ModelDeleted) isEvent()              {}

// Events of the TrainingJob and Rollout streams.

func (TrainingProgressUpdated) isEvent() {}
func (CandidateEvaluated) isEvent()      {}
func (TrafficShifted) isEvent()          {}
func (RolloutAssessed) isEvent()         {}
func (ApprovalRequested) isEvent()       {}
func (ApprovalDecided) isEvent()         {}

// Events of the InferenceLog stream.

func (InferenceMade) isEvent()    {}
func (FeedbackRecorded) isEvent() {}

// Writes is the model's stream.
func (c CreateModel) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c UpdateModelConfiguration) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c UpdateModelMetadata) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c AssignAlias) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c RemoveAlias) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c ArchiveModel) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c DeleteModel) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c StartTraining) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c CompleteTraining) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c FailTraining) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c CreateModelVersion) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c StartRollout) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c PromoteRollout) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c RollBackRollout) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c DeployModel) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the model's stream.
func (c UndeployModel) Writes() StreamID { return ModelStream(c.ModelID) }

// Writes is the job's stream.
func (c RecordTrainingProgress) Writes() StreamID { return TrainingStream(c.ModelID, c.TrainingJobID) }

// Writes is the job's stream.
func (c EvaluateCandidate) Writes() StreamID { return TrainingStream(c.ModelID, c.TrainingJobID) }

// Writes is the rollout's stream.
func (c ShiftTraffic) Writes() StreamID { return RolloutStream(c.ModelID, c.RolloutID) }

// Writes is the rollout's stream.
func (c AssessRollout) Writes() StreamID { return RolloutStream(c.ModelID, c.RolloutID) }

// Writes is the stream of the job or the rollout that the approval is about.
func (c RequestApproval) Writes() StreamID { return c.Subject.stream(c.ModelID) }

// Writes is the stream of the job or the rollout that the approval is about.
func (c DecideApproval) Writes() StreamID { return c.Subject.stream(c.ModelID) }

// Writes is the stream that the ids of the inferences name.
func (c RecordInferences) Writes() StreamID {
	if len(c.Inferences) == 0 {
		return StreamID{Type: TypeInferenceLog}
	}
	stream, _ := c.Inferences[0].InferenceID.Stream()
	return stream
}

// Writes is the stream that the ids of the labelled inferences name.
func (c RecordFeedback) Writes() StreamID {
	if len(c.Feedback) == 0 {
		return StreamID{Type: TypeInferenceLog}
	}
	stream, _ := c.Feedback[0].InferenceID.Stream()
	return stream
}

func (s Subject) stream(m ModelID) StreamID {
	if s.RolloutID != "" {
		return RolloutStream(m, s.RolloutID)
	}
	return TrainingStream(m, s.TrainingJobID)
}

// Guards is none: the model's stream alone decides.
func (CreateModel) Guards() []StreamID { return nil }

// Begins tells whether a command can only be for a stream without events, and so be decided without reading them.
func Begins(cmd Command) bool {
	_, creates := cmd.(CreateModel)
	return creates
}

// Guards is none: the model's stream alone decides.
func (UpdateModelConfiguration) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (UpdateModelMetadata) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (AssignAlias) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (RemoveAlias) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (ArchiveModel) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (DeleteModel) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (StartTraining) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (CompleteTraining) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (FailTraining) Guards() []StreamID { return nil }

// Guards is the job's stream, which knows of an approval that is not given.
func (c CreateModelVersion) Guards() []StreamID {
	if c.TrainingJobID == "" {
		return nil
	}
	return []StreamID{TrainingStream(c.ModelID, c.TrainingJobID)}
}

// Guards is none: the model's stream alone decides.
func (StartRollout) Guards() []StreamID { return nil }

// Guards is the rollout's stream, which knows of an approval that is not given.
func (c PromoteRollout) Guards() []StreamID {
	return []StreamID{RolloutStream(c.ModelID, c.RolloutID)}
}

// Guards is none: the model's stream alone decides.
func (RollBackRollout) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (DeployModel) Guards() []StreamID { return nil }

// Guards is none: the model's stream alone decides.
func (UndeployModel) Guards() []StreamID { return nil }

// Guards is the model's stream: the job must run there.
func (c RecordTrainingProgress) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is the model's stream: the job must be completed there.
func (c EvaluateCandidate) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is the model's stream: the rollout must run there.
func (c ShiftTraffic) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is the model's stream: the rollout must run there.
func (c AssessRollout) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is the model's stream: the job must be completed, or the rollout run there.
func (c RequestApproval) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is the model's stream: the job must be completed, or the rollout run there.
func (c DecideApproval) Guards() []StreamID { return []StreamID{ModelStream(c.ModelID)} }

// Guards is none: the inference log is never folded.
func (RecordInferences) Guards() []StreamID { return nil }

// Guards is none: the inference log is never folded.
func (RecordFeedback) Guards() []StreamID { return nil }
