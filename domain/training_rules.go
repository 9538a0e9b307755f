package domain

import (
	"fmt"
	"maps"
	"slices"
)

func (c StartTraining) validate(v *checks) {
	v.model(c.ModelID)
	v.job("training_job_id", c.TrainingJobID)
	v.trainingConfig("training_config", c.TrainingConfig)
	v.require(len(c.DatasetInfo) > 0, "dataset_info", "needs at least the channel to train on")
	v.datasets("dataset_info", c.DatasetInfo)
}

func (v *checks) trainingConfig(field string, config TrainingConfig) {
	v.needed(field+".trainer", config.Trainer, maxName)
	v.needed(field+".algorithm", config.Algorithm, maxName)
	v.object(field+".params", config.Params)
	for i, gate := range config.Gates {
		v.gate(at(field+".gates", i), gate)
	}
}

func (v *checks) gate(field string, gate Gate) {
	v.needed(field+".metric", gate.Metric, maxName)
	switch gate.Op {
	case ">=", ">", "<=", "<":
	default:
		v.refuse(field+".op", "must be >=, >, <= or <")
	}
	v.finite(field+".threshold", gate.Threshold)
}

func (v *checks) datasets(field string, datasets []DatasetInfo) {
	for i, dataset := range datasets {
		v.needed(at(field, i)+".uri", dataset.URI, maxReason)
		v.text(at(field, i)+".format", dataset.Format, maxName)
		v.text(at(field, i)+".split", dataset.Split, maxName)
		v.text(at(field, i)+".label", dataset.Label, maxName)
		for _, column := range slices.Sorted(maps.Keys(dataset.Schema)) {
			v.text(at(field, i)+".schema", column, maxReason)
			v.text(at(field, i)+".schema."+column, dataset.Schema[column], maxName)
		}
		v.notNegative(at(field, i)+".rows", dataset.Rows)
		if dataset.Digest != "" {
			v.digest(at(field, i)+".digest", dataset.Digest)
		}
	}
}

func (c StartTraining) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.active(c.ModelID); err != nil {
		return nil, err
	}
	if _, known := m.Jobs[c.TrainingJobID]; known {
		return nil, &AlreadyExists{Kind: "training job", ID: string(c.TrainingJobID)}
	}
	if running := m.ActiveTrainings(); len(running) > 0 && !c.Concurrent {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("job %s of model %s runs already", running[0], c.ModelID),
			Current: string(StatusTraining),
			Allowed: []string{"StartTraining with concurrent", "CompleteTraining", "FailTraining"},
		}
	}
	config := c.TrainingConfig
	config.Params = canonical(config.Params)
	return []Event{TrainingStarted{
		TrainingJobID: c.TrainingJobID, TrainingConfig: config, DatasetInfo: c.DatasetInfo, Concurrent: c.Concurrent,
	}}, nil
}

func (c RecordTrainingProgress) validate(v *checks) {
	v.model(c.ModelID)
	v.job("training_job_id", c.TrainingJobID)
	v.notNegative("epoch", int64(c.Epoch))
	v.notNegative("step", c.Step)
	v.metrics("metrics", c.Metrics)
	v.upTo(100, "progress_percentage", c.ProgressPercentage)
}

func (c RecordTrainingProgress) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.runs(c.ModelID, c.TrainingJobID); err != nil {
		return nil, err
	}
	last := a.Training
	if c.Epoch < last.Epoch || c.Step < last.Step || c.ProgressPercentage < last.ProgressPercentage {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("the progress of job %s cannot go back", c.TrainingJobID),
			Current: fmt.Sprintf("at epoch %d, step %d, %g %%", last.Epoch, last.Step, last.ProgressPercentage),
		}
	}
	if last.Revision > 0 && c.Epoch == last.Epoch && c.Step == last.Step &&
		c.ProgressPercentage == last.ProgressPercentage {
		return nil, nil
	}
	return []Event{TrainingProgressUpdated{
		Epoch: c.Epoch, Step: c.Step, Metrics: c.Metrics, ProgressPercentage: c.ProgressPercentage,
	}}, nil
}

func (c CompleteTraining) validate(v *checks) {
	v.model(c.ModelID)
	v.job("training_job_id", c.TrainingJobID)
	v.metrics("final_metrics", c.FinalMetrics)
	v.digest("artifacts_location", c.ArtifactsLocation)
	v.notNegative("training_duration_ms", c.TrainingDurationMS)
	v.datasets("dataset_info", c.DatasetInfo)
	v.text("code_digest", c.CodeDigest, maxName)
}

func (c CompleteTraining) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.runs(c.ModelID, c.TrainingJobID); err != nil {
		return nil, err
	}
	return []Event{TrainingCompleted{
		TrainingJobID: c.TrainingJobID, FinalMetrics: present(c.FinalMetrics), ArtifactsLocation: c.ArtifactsLocation,
		TrainingDurationMS: c.TrainingDurationMS, DatasetInfo: c.DatasetInfo, CodeDigest: c.CodeDigest,
	}}, nil
}

func (c FailTraining) validate(v *checks) {
	v.model(c.ModelID)
	v.job("training_job_id", c.TrainingJobID)
	switch c.FailureReason {
	case FailureFailed, FailureCancelled:
	default:
		v.refuse("failure_reason", "must be failed or cancelled")
	}
	v.text("error_details", c.ErrorDetails, maxDescription)
}

func (c FailTraining) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.runs(c.ModelID, c.TrainingJobID); err != nil {
		return nil, err
	}
	return []Event{TrainingFailed{
		TrainingJobID: c.TrainingJobID, FailureReason: c.FailureReason, ErrorDetails: c.ErrorDetails,
	}}, nil
}

// present keeps missing metrics from being written as null.
func present(metrics map[string]float64) map[string]float64 {
	if metrics == nil {
		return map[string]float64{}
	}
	return metrics
}

// runs refuses a job that does not run.
func (m Model) runs(model ModelID, id JobID) error {
	if err := m.active(model); err != nil {
		return err
	}
	return m.inState(id, JobRunning, "job %s does not run")
}

// inState refuses a job that is in another state.
func (m Model) inState(id JobID, wanted JobState, otherwise string) error {
	job := m.Jobs[id]
	if job.State == wanted {
		return nil
	}
	refusal := &InvalidState{Reason: fmt.Sprintf(otherwise, id), Current: string(job.State)}
	switch job.State {
	case JobRunning:
		refusal.Allowed = []string{"RecordTrainingProgress", "CompleteTraining", "FailTraining"}
	case JobCompleted:
		refusal.Allowed = []string{"EvaluateCandidate", "CreateModelVersion"}
	case JobFailed, JobCancelled:
		refusal.Allowed = []string{"StartTraining of another job"}
	default:
		refusal.Current = "unknown"
		refusal.Allowed = []string{"StartTraining"}
	}
	return refusal
}
