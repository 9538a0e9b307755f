package workflows

import (
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// UndeployModelResult is what UndeployModel ends with, unless it fails or is cancelled.
type UndeployModelResult struct {
	Outcome  string         `json:"outcome"` // undeployed
	Version  domain.Version `json:"version"` // that served
	Reason   string         `json:"reason"`
	Position int64          `json:"position"`
}

// stepUndeploy is UndeployModel's own step.
const stepUndeploy = "undeploy"

// undeployModel is one model on its way out of a target.
type undeployModel struct {
	*saga
	input UndeployModelInput
	place place
	plan  activities.DeploymentPlan
}

// UndeployModel takes a model out of a target: its traffic first, then, when the last requests are
// answered, its files. Refused while a rollout runs there.
func (w *Sagas) UndeployModel(ctx workflow.Context, raw converter.RawValue) (UndeployModelResult, error) {
	s, err := w.open(ctx, KindUndeployModel, []string{stepVerify, stepUndeploy, stepUnload})
	if err != nil {
		return UndeployModelResult{}, err
	}
	u := &undeployModel{saga: s}
	result := UndeployModelResult{}
	if err = u.read(ctx, raw); err == nil {
		result, err = u.story(ctx)
	}
	err = s.close(ctx, result.Outcome, err)
	result.Position = s.position
	return result, err
}

func (u *undeployModel) read(ctx workflow.Context, raw converter.RawValue) error {
	text, err := payloadJSON(raw)
	if err == nil {
		u.input, err = ParseUndeployModel(text)
	}
	if err != nil {
		return activities.Refusal(err)
	}
	actor, err := claimed(Sender{By: u.input.RequestedBy, Actor: u.input.Actor}, false)
	if err != nil {
		return activities.Refusal(err)
	}
	u.place = place{saga: u.saga, target: u.input.Target}
	return u.identify(ctx, identity{
		tenant: u.input.Tenant, model: u.input.ModelID, target: u.input.Target, actor: actor, input: u.input,
		title: fmt.Sprintf("undeploy %s from %s", u.input.ModelID, u.input.Target),
	})
}

func (u *undeployModel) story(ctx workflow.Context) (UndeployModelResult, error) {
	if err := u.verify(ctx); err != nil {
		return UndeployModelResult{}, err
	}
	tidied := u.onUndo(stepUnload, "unload what does not serve", func(ctx workflow.Context, _ error) error {
		return u.place.unloadUnneeded(ctx, []domain.Version{u.plan.Champion})
	})
	record := effect{step: stepUndeploy, class: external, summary: "take the traffic from " + string(u.input.Target)}
	err := u.perform(ctx, record, (*activities.Routing)(nil).UndeployVersion, func(o activities.Origin) any {
		return activities.VersionUndeployment{Origin: o, Command: domain.UndeployModel{
			ModelID: u.model, DeploymentTarget: u.input.Target, Reason: u.input.Reason,
		}}
	})
	if err != nil {
		if activities.Refused(err) {
			tidied.retire() // it serves on
		}
		return UndeployModelResult{}, err
	}
	u.done(ctx, stepUndeploy, "no gateway sends requests there")
	if err := u.place.unload(ctx, u.plan.Champion); err != nil {
		return UndeployModelResult{}, err
	}
	tidied.retire()
	return UndeployModelResult{Outcome: OutcomeUndeployed, Version: u.plan.Champion, Reason: u.input.Reason}, nil
}

// verify finds what serves at the target, before the first effect.
func (u *undeployModel) verify(ctx workflow.Context) error {
	look := effect{step: stepVerify, class: external, summary: "find what serves at " + string(u.input.Target), out: &u.plan}
	err := u.perform(ctx, look, (*activities.Deployment)(nil).PlanUndeployment, func(activities.Origin) any {
		return activities.RollbackRequest{Tenant: u.tenant, ModelID: u.model, Target: u.input.Target}
	})
	if err != nil {
		return err
	}
	u.note(ctx, keyVersion().ValueSet(string(u.plan.Champion)))
	if u.plan.Team != "" {
		u.note(ctx, keyTeam().ValueSet(u.plan.Team))
	}
	u.done(ctx, stepVerify, "version "+string(u.plan.Champion))
	return nil
}
