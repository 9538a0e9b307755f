package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// restoreTraffic gives all traffic back to the champion, and waits until every gateway does.
func (d *deployModel) restoreTraffic(ctx workflow.Context, _ error) error {
	e := effect{step: stepTraffic, name: "undo-" + stepTraffic, aside: true, summary: "undo: all traffic to version " + string(d.plan.Champion)}
	champion := domain.Traffic{d.plan.Champion: 100}
	err := d.undoWith(ctx, e, (*activities.Routing)(nil).ShiftTraffic, func(o activities.Origin) any {
		return activities.TrafficShift{Origin: o, Command: domain.ShiftTraffic{
			ModelID: d.model, RolloutID: d.rollout, Weights: champion,
		}}
	})
	if err == nil {
		d.walk.split = champion
	}
	return err
}

// recordRolledBack ends the rollout, with the reason.
func (d *deployModel) recordRolledBack(ctx workflow.Context, cause error) error {
	reason := storable(errorText(cause))
	if temporal.IsCanceledError(cause) {
		reason = "cancelled"
	}
	e := effect{step: stepStart, name: "undo-" + stepStart, summary: "undo: record the rollback"}
	return d.undoWith(ctx, e, (*activities.Routing)(nil).RollBackRollout, func(o activities.Origin) any {
		return activities.RolloutReturn{Origin: o, Command: domain.RollBackRollout{
			ModelID: d.model, RolloutID: d.rollout, Reason: reason,
		}}
	})
}

// unloadUnneeded unloads the candidate, or the champion when the candidate got its place after all.
func (d *deployModel) unloadUnneeded(ctx workflow.Context, _ error) error {
	versions := []domain.Version{d.plan.Version}
	if d.plan.Champion != "" {
		versions = append(versions, d.plan.Champion)
	}
	return d.place.unloadUnneeded(ctx, versions)
}
