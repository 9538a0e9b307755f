package mainjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// verify holds the report against the event log: what it says happened, happened there, once.
func (j *job) verify(ctx context.Context) error {
	logs := map[string][]event{}
	for _, id := range []string{model, undisturbed} {
		events, err := j.events(ctx, id)
		if err != nil {
			return err
		}
		logs[id] = events
	}
	for _, t := range j.report.Trainings {
		if err := verifyTraining(logs[t.ModelID], t); err != nil {
			return fmt.Errorf("the report's training %s disagrees with the event log: %w", t.Name, err)
		}
	}
	for _, d := range j.report.Deployments {
		if err := verifyDeployment(logs[model], d); err != nil {
			return fmt.Errorf("the report's deployment %s disagrees with the event log: %w", d.Name, err)
		}
	}
	j.panel.line("the report agrees with the event log: %d trainings, %d deployments", len(j.report.Trainings), len(j.report.Deployments))
	return nil
}

// facts are the fields of events that the report repeats.
type facts struct {
	TrainingJobID     string `json:"training_job_id"`
	RolloutID         string `json:"rollout_id"`
	Version           string `json:"version"`
	ArtifactsLocation string `json:"artifacts_location"`
}

// once returns the only event of the type that the pick accepts.
func once(log []event, eventType string, pick func(facts) bool) (event, facts, error) {
	var found []event
	var of facts
	for _, e := range log {
		var f facts
		if e.EventType != eventType || json.Unmarshal(e.EventData, &f) != nil || !pick(f) {
			continue
		}
		found, of = append(found, e), f
	}
	if len(found) != 1 {
		return event{}, facts{}, fmt.Errorf("%s stands there %d times, not once", eventType, len(found))
	}
	return found[0], of, nil
}

func verifyTraining(log []event, t TrainingReport) error {
	own := func(f facts) bool { return f.TrainingJobID == t.TrainingJobID }
	for _, eventType := range []string{"TrainingStarted", "TrainingCompleted"} {
		if _, _, err := once(log, eventType, own); err != nil {
			return err
		}
	}
	e, f, err := once(log, "ModelVersionCreated", own)
	if err != nil {
		return err
	}
	if f.Version != t.Version || f.ArtifactsLocation != t.ArtifactsLocation || e.Position != t.Position {
		return fmt.Errorf("version %s at position %d with %s is not version %s at position %d with %s",
			f.Version, e.Position, f.ArtifactsLocation, t.Version, t.Position, t.ArtifactsLocation)
	}
	return verifyEpochs(log, t)
}

// verifyEpochs checks that each epoch of the job was recorded once, killed or not.
func verifyEpochs(log []event, t TrainingReport) error {
	next := 1
	for _, e := range log {
		if e.EventType != "TrainingProgressUpdated" || e.AggregateID != t.ModelID+"/"+t.TrainingJobID {
			continue
		}
		var progress struct {
			Epoch int `json:"epoch"`
		}
		if err := json.Unmarshal(e.EventData, &progress); err != nil {
			return fmt.Errorf("the event at position %d: %w", e.Position, err)
		}
		if progress.Epoch != next {
			return fmt.Errorf("epoch %d is followed by epoch %d at position %d", next-1, progress.Epoch, e.Position)
		}
		next++
	}
	if next == 1 {
		return errors.New("no epoch was recorded")
	}
	return nil
}

func verifyDeployment(log []event, d DeploymentReport) error {
	own := func(f facts) bool { return f.RolloutID == d.RolloutID }
	if _, _, err := once(log, "RolloutStarted", own); err != nil {
		return err
	}
	if d.Outcome == rolledBack {
		_, _, err := once(log, "RolloutRolledBack", own)
		return err
	}
	if _, _, err := once(log, "RolloutPromoted", own); err != nil {
		return err
	}
	_, f, err := once(log, "ModelDeployed", own)
	if err == nil && f.Version != d.Version {
		err = fmt.Errorf("version %s was deployed, not %s", f.Version, d.Version)
	}
	return err
}
