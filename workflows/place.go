package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// place is a target as the sagas that change what serves there see it.
type place struct {
	*saga
	target domain.Target
}

// deployID is the id of the DeployModel saga of a model and target: one runs at a time.
func deployID(tenant domain.Tenant, model domain.ModelID, target domain.Target) string {
	return fmt.Sprintf("deploy:%s:%s:%s", tenant, model, target)
}

// load brings the plan's version to the target, and proves it there.
func (p place) load(ctx workflow.Context, plan activities.DeploymentPlan) error {
	var loaded activities.VersionLoaded
	bring := effect{
		step: stepLoad, class: external, out: &loaded,
		summary: fmt.Sprintf("load version %s at %s, and prove it", plan.Version, p.target),
	}
	err := p.perform(ctx, bring, (*activities.Serving)(nil).LoadVersion, func(activities.Origin) any {
		return activities.VersionLoad{
			Tenant: p.tenant, ModelID: p.model, Version: plan.Version, Target: p.target,
			Artifact: plan.Artifact, Signature: plan.Signature,
		}
	})
	if err != nil {
		return err
	}
	p.done(ctx, stepLoad, fmt.Sprintf("%s gives %d golden answers", loaded.Name, loaded.GoldenRows))
	return nil
}

// deploy gives the plan's version all traffic of the target, without a rollout.
func (p place) deploy(ctx workflow.Context, step string, plan activities.DeploymentPlan, reason string) error {
	record := effect{step: step, class: external, summary: "all traffic to version " + string(plan.Version)}
	err := p.perform(ctx, record, (*activities.Routing)(nil).DeployVersion, func(o activities.Origin) any {
		return activities.VersionDeployment{Origin: o, Command: domain.DeployModel{
			ModelID: p.model, Version: plan.Version, DeploymentTarget: p.target, DeploymentConfig: plan.Config, Reason: reason,
		}}
	})
	if err != nil {
		return err
	}
	p.done(ctx, step, reason)
	return nil
}

// drainTime is how long requests that a gateway had sent before it learned of the new split may take.
const drainTime = 2 * time.Second

// unload takes versions that nobody is routed to any more out of the target.
func (p place) unload(ctx workflow.Context, versions ...domain.Version) error {
	p.begin(ctx, stepUnload)
	timer := workflow.NewTimerWithOptions(ctx, drainTime,
		workflow.TimerOptions{Summary: fmt.Sprintf("let the last requests of version %v end", versions)})
	if err := timer.Get(ctx, nil); err != nil {
		return err
	}
	var unloaded activities.VersionsUnloaded
	remove := effect{step: stepUnload, class: external, out: &unloaded, summary: fmt.Sprintf("unload version %v", versions)}
	err := p.perform(ctx, remove, (*activities.Serving)(nil).UnloadVersions, p.unloadInput(versions...))
	if err != nil {
		return err
	}
	p.done(ctx, stepUnload, unloadedText(unloaded))
	return nil
}

func unloadedText(u activities.VersionsUnloaded) string {
	if len(u.Unloaded) == 0 {
		return fmt.Sprintf("version %v is needed at another target of the same server", u.Kept)
	}
	return fmt.Sprintf("unloaded version %v", u.Unloaded)
}

// unloadUnneeded is unload as an undo: of the versions those go that do not serve.
func (p place) unloadUnneeded(ctx workflow.Context, versions []domain.Version) error {
	var unloaded activities.VersionsUnloaded
	e := effect{step: stepUnload, name: "undo-" + stepUnload, out: &unloaded, summary: "undo: unload what does not serve"}
	return p.undoWith(ctx, e, (*activities.Serving)(nil).UnloadVersions, p.unloadInput(versions...))
}

func (p place) unloadInput(versions ...domain.Version) func(activities.Origin) any {
	return func(activities.Origin) any {
		return activities.VersionUnload{Tenant: p.tenant, ModelID: p.model, Target: p.target, Versions: versions}
	}
}

// skipPending marks the steps that the story did not come to.
func (s *saga) skipPending(ctx workflow.Context, why string) {
	for _, step := range s.steps {
		if step.State == StepPending {
			s.skip(ctx, step.Name, why)
		}
	}
}
