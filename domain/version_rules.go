package domain

import "fmt"

func (c CreateModelVersion) validate(v *checks) {
	v.model(c.ModelID)
	v.digest("artifacts_location", c.ArtifactsLocation)
	v.metrics("performance_metrics", c.PerformanceMetrics)
	v.text("modification", c.Modification, maxReason)
	if c.TrainingJobID != "" {
		v.job("training_job_id", c.TrainingJobID)
	}
	if c.Signature != nil {
		v.tensors("signature.inputs", c.Signature.Inputs)
		v.tensors("signature.outputs", c.Signature.Outputs)
	}
}

func (v *checks) tensors(field string, tensors []Tensor) {
	v.require(len(tensors) > 0, field, "needs at least one tensor")
	for i, tensor := range tensors {
		v.needed(at(field, i)+".name", tensor.Name, maxName)
		v.needed(at(field, i)+".datatype", tensor.Datatype, maxName)
		for j, size := range tensor.Shape {
			v.require(size >= -1, at(at(field, i)+".shape", j), "must be -1 for the batch, or not negative")
		}
	}
}

func (c CreateModelVersion) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.active(c.ModelID); err != nil {
		return nil, err
	}
	if err := c.ofItsJob(a); err != nil {
		return nil, err
	}
	return []Event{ModelVersionCreated{
		Version: a.Model.nextVersion(), PreviousVersion: a.Model.LatestVersion(),
		ArtifactsLocation: c.ArtifactsLocation, PerformanceMetrics: c.PerformanceMetrics, Signature: c.Signature,
		TrainingJobID: c.TrainingJobID, Modification: c.Modification,
	}}, nil
}

// ofItsJob refuses an artifact that the named job did not make, and a candidate without the approval
// that was asked for.
func (c CreateModelVersion) ofItsJob(a Aggregates) error {
	if c.TrainingJobID == "" {
		return nil
	}
	if err := a.Model.inState(c.TrainingJobID, JobCompleted, "job %s has no candidate to register"); err != nil {
		return err
	}
	if made := a.Model.Jobs[c.TrainingJobID].ArtifactsLocation; made != c.ArtifactsLocation {
		return &InvalidInput{
			Field:  "artifacts_location",
			Reason: fmt.Sprintf("job %s made %s, not %s", c.TrainingJobID, made, c.ArtifactsLocation),
		}
	}
	return a.Training.Approval.cleared(Subject{TrainingJobID: c.TrainingJobID})
}
