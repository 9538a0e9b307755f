package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// start creates the model where needed, and starts the training when no other one is in its way.
func (t *trainModel) start(ctx workflow.Context) error {
	var started activities.TrainingStarted
	begin := effect{step: stepStart, summary: "start training " + string(t.model), out: &started}
	err := t.perform(ctx, begin, (*activities.Training)(nil).StartTraining, t.startInput)
	if err == nil && started.Busy != "" {
		err = t.awaitTurn(ctx, &started)
	}
	if err != nil {
		return err
	}
	t.recorded(started.Result)
	if started.Team != "" {
		t.note(ctx, keyTeam().ValueSet(started.Team))
	}
	t.done(ctx, stepStart, "job "+string(t.job))
	return nil
}

// awaitTurn waits, where the input says so, until no other training of the model runs.
func (t *trainModel) awaitTurn(ctx workflow.Context, started *activities.TrainingStarted) error {
	if t.input.Concurrency != ConcurrencyQueue {
		t.end(ctx, stepStart, StepFailed, started.Busy)
		return temporal.NewNonRetryableApplicationError(
			started.Busy+`; "concurrency":"queue" waits for it, "allow" runs beside it`, activities.TypeInvalidState, nil)
	}
	t.waiting = new(WaitingTurn)
	t.step(stepStart).Detail = started.Busy
	t.render(ctx)
	turn := effect{
		step: stepStart, class: long, summary: "wait for the turn: " + started.Busy, out: started,
	}
	err := t.perform(ctx, turn, (*activities.Training)(nil).AwaitTurn, t.startInput)
	t.waiting = nil
	return err
}

func (t *trainModel) startInput(o activities.Origin) any {
	start := activities.TrainingStart{Origin: o, Create: t.input.creation(), Start: domain.StartTraining{
		ModelID: t.model, TrainingJobID: t.job, DatasetInfo: t.input.channels(),
		Concurrent: t.input.Concurrency == ConcurrencyAllow,
		TrainingConfig: domain.TrainingConfig{
			Trainer: t.input.Trainer.Kind, Algorithm: t.input.Algorithm, Params: t.input.Params, Seed: *t.input.Seed,
			Gates: t.input.Gates,
		},
	}}
	if t.input.Deploy != nil {
		start.Target = t.input.Deploy.Target
	}
	return start
}

func (t *trainModel) snapshot(ctx workflow.Context) error {
	take := effect{
		step: stepSnapshot, class: external, queue: t.settings.Queues.Training,
		summary: "snapshot " + t.input.Data.Train.URI, out: &t.data,
	}
	err := t.perform(ctx, take, (*activities.Trainer)(nil).SnapshotData, func(activities.Origin) any {
		return activities.SnapshotRequest{Channels: t.input.channels()}
	})
	if err != nil {
		return err
	}
	var rows int64
	for _, channel := range t.data {
		rows += channel.Rows
	}
	t.done(ctx, stepSnapshot, fmt.Sprintf("%d rows, %s", rows, t.data[0].Digest))
	return nil
}

func (t *trainModel) train(ctx workflow.Context) error {
	run := effect{
		step: stepTrain, class: long, queue: t.settings.Queues.Training,
		summary: fmt.Sprintf("train %s with %s", t.input.Algorithm, t.input.Trainer.Kind), out: &t.ran,
	}
	if err := t.perform(ctx, run, (*activities.Trainer)(nil).RunTrainer, t.runInput); err != nil {
		return err
	}
	t.recorded(domain.Result{Position: t.ran.Position})
	t.progress.Percentage, t.progress.Epoch, t.progress.Epochs = 100, t.ran.Epochs, t.ran.Epochs
	t.progress.Metrics, t.progress.ETA, t.progress.Message = t.ran.Outcome.Metrics, nil, "trained"
	t.done(ctx, stepTrain, fmt.Sprintf("%d epochs, %s", t.ran.Epochs, t.ran.Outcome.Artifact))
	return nil
}

func (t *trainModel) runInput(o activities.Origin) any {
	return activities.TrainerRun{
		Origin: o, ModelID: t.model, TrainingJobID: t.job, Algorithm: t.input.Algorithm, Params: t.input.Params,
		Seed: *t.input.Seed, Data: t.data,
	}
}

func (t *trainModel) complete(ctx workflow.Context) error {
	began := *t.step(stepTrain).StartedAt
	record := effect{step: stepComplete, summary: "record the artifact"}
	err := t.perform(ctx, record, (*activities.Training)(nil).CompleteTraining, func(o activities.Origin) any {
		return activities.TrainingCompletion{Origin: o, Command: domain.CompleteTraining{
			ModelID: t.model, TrainingJobID: t.job, FinalMetrics: t.ran.Outcome.Metrics,
			ArtifactsLocation:  t.ran.Outcome.Artifact,
			TrainingDurationMS: t.step(stepTrain).EndedAt.Sub(began).Milliseconds(),
			DatasetInfo:        t.data, CodeDigest: t.ran.Outcome.CodeDigest,
		}}
	})
	if err != nil {
		return err
	}
	t.done(ctx, stepComplete, "")
	return nil
}

// evaluate holds the candidate against its gates, and records both.
func (t *trainModel) evaluate(ctx workflow.Context) error {
	evaluation := t.ran.Outcome.Evaluation
	for _, gate := range t.input.Gates {
		t.gates = append(t.gates, gate.Against(evaluation.Metrics))
	}
	record := effect{step: stepEvaluate, aside: true, summary: "evaluate on the held-out rows"}
	err := t.perform(ctx, record, (*activities.Training)(nil).EvaluateCandidate, func(o activities.Origin) any {
		return activities.CandidateEvaluation{Origin: o, Command: domain.EvaluateCandidate{
			ModelID: t.model, TrainingJobID: t.job, Metrics: evaluation.Metrics,
			ConfusionMatrix: evaluation.ConfusionMatrix, Labels: evaluation.Labels, Rows: evaluation.Rows, Gates: t.gates,
		}}
	})
	if err != nil {
		return err
	}
	t.progress.Metrics = evaluation.Metrics
	if score, has := t.score(); has {
		t.note(ctx, keyScore().ValueSet(score))
	}
	t.done(ctx, stepEvaluate, t.verdict())
	return nil
}

// score is what the training is compared by: the first gate's metric, else the accuracy.
func (t *trainModel) score() (float64, bool) {
	if len(t.gates) > 0 && t.gates[0].Value != nil {
		return *t.gates[0].Value, true
	}
	score, has := t.ran.Outcome.Evaluation.Metrics["accuracy"]
	return score, has
}

func (t *trainModel) verdict() string {
	if missed := t.missedGates(); missed != "" {
		return missed
	}
	if score, has := t.ran.Outcome.Evaluation.Metrics["accuracy"]; has {
		return fmt.Sprintf("accuracy %.4g on %d held-out rows", score, t.ran.Outcome.Evaluation.Rows)
	}
	return fmt.Sprintf("%d held-out rows", t.ran.Outcome.Evaluation.Rows)
}

// missedGates says which gates were not met; "" when all were.
func (t *trainModel) missedGates() string {
	var missed []string
	for _, gate := range t.gates {
		switch {
		case gate.Passed:
		case gate.Value == nil:
			missed = append(missed, fmt.Sprintf("%s was not measured, and must be %s %g", gate.Metric, gate.Op, gate.Threshold))
		default:
			missed = append(missed, fmt.Sprintf("%s %.4g is not %s %g", gate.Metric, *gate.Value, gate.Op, gate.Threshold))
		}
	}
	return strings.Join(missed, "; ")
}

// approval asks a person, where the input says so.
func (t *trainModel) approval(ctx workflow.Context) (domain.DecideApproval, error) {
	if t.input.Approval == nil {
		t.skip(ctx, stepApproval, "not asked for")
		return domain.DecideApproval{Decision: domain.Approved}, nil
	}
	return t.ask(ctx, question{
		step: stepApproval, subject: domain.Subject{TrainingJobID: t.job}, terms: *t.input.Approval,
		about: fmt.Sprintf("%s, %s", t.model, t.verdict()),
	})
}

func (t *trainModel) register(ctx workflow.Context) error {
	outcome := t.ran.Outcome
	record := effect{step: stepRegister, summary: "register the version", out: &t.registered}
	err := t.perform(ctx, record, (*activities.Training)(nil).RegisterVersion, func(o activities.Origin) any {
		return activities.Registration{Origin: o, Command: domain.CreateModelVersion{
			ModelID: t.model, ArtifactsLocation: outcome.Artifact, PerformanceMetrics: outcome.Evaluation.Metrics,
			Signature: &outcome.Signature, TrainingJobID: t.job, Modification: "trained",
		}}
	})
	if err != nil {
		return err
	}
	t.recorded(t.registered.Result)
	t.note(ctx, keyVersion().ValueSet(string(t.registered.Version)))
	t.done(ctx, stepRegister, "version "+string(t.registered.Version))
	return nil
}

// follow keeps the progress that the trainer's activity signals.
func (s *saga) follow(ctx workflow.Context) {
	signals := workflow.GetSignalChannelWithOptions(ctx, activities.SignalProgress,
		workflow.SignalChannelOptions{Description: "How far the trainer is; sent by its activity."})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var seen Progress
			signals.Receive(ctx, &seen)
			if seen.Epoch >= s.progress.Epoch && s.stage == stepTrain {
				s.progress = seen
				s.render(ctx)
			}
		}
	})
}
