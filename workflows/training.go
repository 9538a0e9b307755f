package workflows

import (
	"encoding/json"
	"maps"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// The outcomes of TrainModel.
const (
	OutcomeRegistered = "registered"
	OutcomeRejected   = "rejected"
	OutcomeGateNotMet = "gate_not_met"
)

// TrainModelResult is what TrainModel ends with, unless it fails or is cancelled.
type TrainModelResult struct {
	Outcome string         `json:"outcome"`
	Version domain.Version `json:"version"` // "" unless registered
	// Reason says which gates were not met, or why it was rejected; "expired" when nobody decided.
	Reason            string             `json:"reason,omitempty"`
	Metrics           map[string]float64 `json:"metrics"` // of the held-out rows
	ArtifactsLocation domain.Digest      `json:"artifacts_location"`
	TrainingJobID     domain.JobID       `json:"training_job_id"`
	Position          int64              `json:"position"`
	// Deployment is DeployModel's result, {"outcome":"failed","reason":…} when it failed, and null when
	// none was asked for.
	Deployment json.RawMessage `json:"deployment"`
}

// The steps of TrainModel.
const (
	stepStart    = "start"
	stepSnapshot = "snapshot"
	stepTrain    = "train"
	stepComplete = "complete"
	stepEvaluate = "evaluate"
	stepApproval = "approval"
	stepRegister = "register"
	stepDeploy   = "deploy"
)

// trainModel is one training on its way from a request to a version.
type trainModel struct {
	*saga
	input TrainModelInput
	job   domain.JobID

	data       []domain.DatasetInfo // with digests, once taken
	ran        activities.TrainerRan
	gates      []domain.GateResult
	registered activities.Registered
	deployment json.RawMessage
}

// TrainModel trains a model and registers what came out as a version, if it meets its gates and is
// approved; then deploys it, if that is asked for. Cancelled before the training is complete, the job is
// stopped and recorded as cancelled; after that nothing is left to undo.
func (w *Sagas) TrainModel(ctx workflow.Context, raw converter.RawValue) (TrainModelResult, error) {
	steps := []string{
		stepStart, stepSnapshot, stepTrain, stepComplete, stepEvaluate, stepApproval, stepRegister, stepDeploy,
	}
	s, err := w.open(ctx, KindTrainModel, steps, ActionApprove, ActionReject)
	if err != nil {
		return TrainModelResult{}, err
	}
	s.follow(ctx)
	t := &trainModel{saga: s, job: domain.JobID(idFor(ctx, "training"))}
	result := TrainModelResult{}
	if err = t.read(ctx, raw); err == nil {
		result, err = t.story(ctx)
	}
	err = s.close(ctx, result.Outcome, err)
	result.Position = s.position
	return result, err
}

// read takes the input in, before any effect.
func (t *trainModel) read(ctx workflow.Context, raw converter.RawValue) error {
	text, err := payloadJSON(raw)
	if err == nil {
		t.input, err = ParseTrainModel(text)
	}
	if err != nil {
		return activities.Refusal(err)
	}
	actor, err := t.input.requester()
	if err != nil {
		return activities.Refusal(err)
	}
	id := identity{
		tenant: t.input.Tenant, model: t.input.ModelID, actor: actor,
		title: "train " + string(t.input.ModelID), input: t.input,
	}
	if t.input.Deploy != nil {
		id.target = t.input.Deploy.Target
	}
	return t.identify(ctx, id)
}

func (t *trainModel) story(ctx workflow.Context) (TrainModelResult, error) {
	unrecorded := t.onUndo(stepStart, "record the training as over", t.recordOver)
	if err := t.start(ctx); err != nil {
		if activities.Refused(err) {
			unrecorded.retire() // it never started
		}
		return TrainModelResult{}, err
	}
	if err := t.snapshot(ctx); err != nil {
		return TrainModelResult{}, err
	}
	running := t.onUndo(stepTrain, "stop the job", t.stopJob)
	if err := t.train(ctx); err != nil {
		if activities.ErrorType(err) == activities.TypeTrainingFailed {
			running.retire() // it is dead
		}
		return TrainModelResult{}, err
	}
	if err := t.complete(ctx); err != nil {
		return TrainModelResult{}, err
	}
	unrecorded.retire()
	running.retire()
	if err := t.evaluate(ctx); err != nil {
		return TrainModelResult{}, err
	}
	if missed := t.missedGates(); missed != "" {
		return t.ended(ctx, OutcomeGateNotMet, missed), nil
	}
	decision, err := t.approval(ctx)
	if err != nil {
		return TrainModelResult{}, err
	}
	if decision.Decision == domain.Rejected {
		return t.ended(ctx, OutcomeRejected, decision.Note), nil
	}
	if err := t.register(ctx); err != nil {
		return TrainModelResult{}, err
	}
	if err := t.deploy(ctx); err != nil {
		return TrainModelResult{}, err
	}
	return t.ended(ctx, OutcomeRegistered, ""), nil
}

// ended is the result of a story that came to its end; what it did not need is skipped.
func (t *trainModel) ended(ctx workflow.Context, outcome, reason string) TrainModelResult {
	for _, step := range t.steps {
		if step.State == StepPending {
			t.skip(ctx, step.Name, outcome)
		}
	}
	return TrainModelResult{
		Outcome: outcome, Version: t.registered.Version, Reason: reason, Metrics: maps.Clone(t.ran.Outcome.Evaluation.Metrics),
		ArtifactsLocation: t.ran.Outcome.Artifact, TrainingJobID: t.job, Deployment: t.deployment,
	}
}
