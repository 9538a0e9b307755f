package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// recordOver ends a training that will not be completed: as cancelled, or as failed with the error.
func (t *trainModel) recordOver(ctx workflow.Context, cause error) error {
	end := domain.FailTraining{ModelID: t.model, TrainingJobID: t.job, FailureReason: domain.FailureCancelled}
	if !temporal.IsCanceledError(cause) {
		end.FailureReason, end.ErrorDetails = domain.FailureFailed, storable(errorText(cause))
	}
	e := effect{step: stepStart, name: "undo-" + stepStart, summary: "undo: record the training as " + string(end.FailureReason)}
	return t.undoWith(ctx, e, (*activities.Training)(nil).FailTraining, func(o activities.Origin) any {
		return activities.TrainingEnd{Origin: o, Command: end}
	})
}

// stopJob proves that the job does not run any more.
func (t *trainModel) stopJob(ctx workflow.Context, _ error) error {
	var nothing any
	e := effect{
		step: stepTrain, name: "undo-" + stepTrain, queue: t.settings.Queues.Training,
		summary: "undo: stop the job", out: &nothing,
	}
	return t.undoWith(ctx, e, (*activities.Trainer)(nil).StopTrainer, t.runInput)
}
