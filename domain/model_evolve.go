package domain

import "maps"

// Evolve folds the next event of the model's stream. It refuses nothing: what is recorded happened.
func (m *Model) Evolve(r Recorded) {
	m.Revision = r.Revision
	switch e := r.Event.(type) {
	case ModelCreated:
		m.create(r.Stream.Model(), e)
	case ModelConfigurationUpdated:
		m.Config = e.NewConfig
	case ModelMetadataUpdated:
		m.describe(e)
	case TrainingStarted:
		put(&m.Jobs, e.TrainingJobID, Job{
			State: JobRunning, Config: e.TrainingConfig, DatasetInfo: e.DatasetInfo,
			Concurrent: e.Concurrent, Revision: r.Revision,
		})
	case TrainingCompleted:
		m.complete(e)
	case TrainingFailed:
		m.fail(e)
	case ModelVersionCreated:
		m.Versions = append(m.Versions, ModelVersion{
			Version: e.Version, PreviousVersion: e.PreviousVersion, ArtifactsLocation: e.ArtifactsLocation,
			PerformanceMetrics: e.PerformanceMetrics, Signature: e.Signature, TrainingJobID: e.TrainingJobID,
			Modification: e.Modification, Revision: r.Revision,
		})
	case RolloutStarted:
		put(&m.Rollouts, e.Target, RunningRollout{
			ID: e.RolloutID, Version: e.Version, Champion: e.PreviousVersion, Target: e.Target,
			Strategy: e.Strategy, ObserveAfter: e.ObserveAfter, Revision: r.Revision,
		})
	case RolloutPromoted:
		m.endRollout(e.Target, e.RolloutID, RolloutEndPromoted)
	case RolloutRolledBack:
		m.endRollout(e.Target, e.RolloutID, RolloutEndRolledBack)
	case ModelDeployed:
		put(&m.Deployed, e.DeploymentTarget, Deployment{
			Version: e.Version, Previous: e.PreviousVersion, Config: e.DeploymentConfig,
			RolloutID: e.RolloutID, Revision: r.Revision, DeployedAt: r.OccurredAt,
		})
	case ModelUndeployed:
		delete(m.Deployed, e.DeploymentTarget)
	case AliasAssigned:
		put(&m.Aliases, e.Alias, e.Version)
	case AliasRemoved:
		delete(m.Aliases, e.Alias)
	case ModelArchived:
		m.Archived = true
	case ModelDeleted:
		m.Deleted = true
	case TrainingProgressUpdated, CandidateEvaluated, TrafficShifted, RolloutAssessed,
		ApprovalRequested, ApprovalDecided, InferenceMade, FeedbackRecorded:
		// They stand in streams of their own.
	}
}

func (m *Model) create(id ModelID, e ModelCreated) {
	m.ID = id
	m.Name, m.Type, m.Algorithm = e.Name, e.ModelType, e.Algorithm
	m.Config = e.InitialConfig
	m.Description, m.IntendedPurpose = e.Description, e.IntendedPurpose
	m.Tags = maps.Clone(e.Tags)
}

func (m *Model) describe(e ModelMetadataUpdated) {
	if e.Description != nil {
		m.Description = *e.Description
	}
	for key, value := range e.Tags {
		if value == nil {
			delete(m.Tags, key)
			continue
		}
		put(&m.Tags, key, *value)
	}
}

func (m *Model) complete(e TrainingCompleted) {
	job := m.Jobs[e.TrainingJobID]
	job.State = JobCompleted
	job.ArtifactsLocation = e.ArtifactsLocation
	job.FinalMetrics = e.FinalMetrics
	if len(e.DatasetInfo) > 0 {
		job.DatasetInfo = e.DatasetInfo
	}
	put(&m.Jobs, e.TrainingJobID, job)
}

func (m *Model) fail(e TrainingFailed) {
	job := m.Jobs[e.TrainingJobID]
	job.State = JobFailed
	if e.FailureReason == FailureCancelled {
		job.State = JobCancelled
	}
	put(&m.Jobs, e.TrainingJobID, job)
}

func (m *Model) endRollout(t Target, id RolloutID, end RolloutEnd) {
	delete(m.Rollouts, t)
	put(&m.EndedRollouts, id, end)
}

// put sets a key and makes the map when there is none.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[key] = value
}
