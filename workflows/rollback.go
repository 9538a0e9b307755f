package workflows

import (
	"cmp"
	"fmt"
	"slices"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// RollbackModelResult is what RollbackModel ends with, unless it fails or is cancelled.
type RollbackModelResult struct {
	Outcome  string         `json:"outcome"` // rolled_back
	Version  domain.Version `json:"version"` // that serves again
	Previous domain.Version `json:"previous"`
	Reason   string         `json:"reason"`
	Position int64          `json:"position"`
}

// The steps of RollbackModel besides those of DeployModel.
const (
	stepAbort   = "abort"
	stepRestore = "restore"
)

// rollbackModel is one version on its way back.
type rollbackModel struct {
	*saga
	input RollbackModelInput
	place place
	plan  activities.DeploymentPlan
	// loaded are the versions that were brought to the target, or were about to be.
	loaded []domain.Version
}

// RollbackModel brings a version back to a target at once: without canary and without approval. A
// DeployModel that runs there is cancelled first, and has undone its work before this one goes on; a rollout
// whose saga is gone (terminated by hand) is rolled back here.
func (w *Sagas) RollbackModel(ctx workflow.Context, raw converter.RawValue) (RollbackModelResult, error) {
	s, err := w.open(ctx, KindRollbackModel, []string{stepVerify, stepAbort, stepLoad, stepRestore, stepUnload})
	if err != nil {
		return RollbackModelResult{}, err
	}
	r := &rollbackModel{saga: s}
	result := RollbackModelResult{}
	if err = r.read(ctx, raw); err == nil {
		result, err = r.story(ctx)
	}
	err = s.close(ctx, result.Outcome, err)
	result.Position = s.position
	return result, err
}

func (r *rollbackModel) read(ctx workflow.Context, raw converter.RawValue) error {
	text, err := payloadJSON(raw)
	if err == nil {
		r.input, err = ParseRollbackModel(text)
	}
	if err != nil {
		return activities.Refusal(err)
	}
	actor, err := claimed(Sender{By: r.input.RequestedBy, Actor: r.input.Actor}, false)
	if err != nil {
		return activities.Refusal(err)
	}
	r.place = place{saga: r.saga, target: r.input.Target}
	return r.identify(ctx, identity{
		tenant: r.input.Tenant, model: r.input.ModelID, target: r.input.Target, actor: actor, input: r.input,
		title: fmt.Sprintf("roll %s back at %s", r.input.ModelID, r.input.Target),
	})
}

func (r *rollbackModel) story(ctx workflow.Context) (RollbackModelResult, error) {
	if err := r.verify(ctx); err != nil { // refuse before a running deployment is disturbed
		return RollbackModelResult{}, err
	}
	tidied := r.onUndo(stepUnload, "unload what does not serve", func(ctx workflow.Context, _ error) error {
		return r.place.unloadUnneeded(ctx, append(r.loaded, r.plan.Champion))
	})
	tidied.retire() // nothing is loaded yet
	reason := cmp.Or(r.input.Reason, "rolled back by "+r.actor.Subject)
	for round := 1; ; round++ {
		if err := r.abortDeployment(ctx); err != nil {
			return RollbackModelResult{}, err
		}
		if r.plan.Served {
			return r.tidy(ctx, tidied, fmt.Sprintf("version %s serves already", r.plan.Version))
		}
		tidied.rearm()
		err := r.bringBack(ctx, reason)
		if err == nil {
			break
		}
		if activities.ErrorType(err) != activities.TypeInvalidState || round == abortRounds {
			return RollbackModelResult{}, err
		} // else another deployment began meanwhile
	}
	return r.tidy(ctx, tidied, reason)
}

// tidy unloads what was loaded before, or on the way, and ends the story.
func (r *rollbackModel) tidy(ctx workflow.Context, tidied *undo, reason string) (RollbackModelResult, error) {
	var unneeded []domain.Version
	for _, version := range append([]domain.Version{r.plan.Champion}, r.loaded...) {
		if version != r.plan.Version && !slices.Contains(unneeded, version) {
			unneeded = append(unneeded, version)
		}
	}
	if len(unneeded) > 0 {
		if err := r.place.unload(ctx, unneeded...); err != nil {
			return RollbackModelResult{}, err
		}
	}
	tidied.retire()
	return r.ended(ctx, reason), nil
}

// abortRounds is how many deployments a rollback ends that begin one after the other.
const abortRounds = 3

// bringBack loads and proves the version, and gives it all traffic.
func (r *rollbackModel) bringBack(ctx workflow.Context, reason string) error {
	r.loaded = append(r.loaded, r.plan.Version)
	if err := r.place.load(ctx, r.plan); err != nil {
		return err
	}
	return r.place.deploy(ctx, stepRestore, r.plan, reason)
}

// verify looks at everything that could be refused, before the first effect.
func (r *rollbackModel) verify(ctx workflow.Context) error {
	var plan activities.DeploymentPlan // a new one: what JSON leaves out would stay from the look before
	look := effect{step: stepVerify, class: external, summary: "find the version to bring back", out: &plan}
	err := r.perform(ctx, look, (*activities.Deployment)(nil).PlanRollback, func(activities.Origin) any {
		return activities.RollbackRequest{
			Tenant: r.tenant, ModelID: r.model, Target: r.input.Target, To: r.input.To,
		}
	})
	if err != nil {
		return err
	}
	r.plan = plan
	r.recorded(domain.Result{Position: plan.Position})
	r.note(ctx, keyVersion().ValueSet(string(r.plan.Version)))
	if r.plan.Team != "" {
		r.note(ctx, keyTeam().ValueSet(r.plan.Team))
	}
	r.done(ctx, stepVerify, fmt.Sprintf("version %s, %s", r.plan.Version, r.plan.Artifact))
	return nil
}

// abortDeployment ends a DeployModel that runs at the target. It may have promoted its version before it
// ended, so what there is to bring back is looked at once more; also when none runs any more but a rollout
// ran when it was looked at. A rollout that still runs then has no saga that could end it.
func (r *rollbackModel) abortDeployment(ctx workflow.Context) error {
	id := deployID(r.tenant, r.model, r.input.Target)
	var ended activities.DeploymentEnded
	end := effect{step: stepAbort, class: long, summary: "end " + id, out: &ended}
	err := r.perform(ctx, end, (*activities.Takeover)(nil).EndDeployment, func(activities.Origin) any {
		return activities.DeploymentEnd{WorkflowID: id}
	})
	if err != nil {
		return err
	}
	stood := r.plan.Rollout
	if !ended.Ran && stood == "" {
		r.skip(ctx, stepAbort, "no deployment runs")
		return nil
	}
	r.done(ctx, stepAbort, id+" has ended")
	if err := r.verify(ctx); err != nil || stood == "" || r.plan.Rollout != stood {
		return err
	}
	return r.endRollout(ctx)
}

// endRollout ends a rollout that nobody leads any more.
func (r *rollbackModel) endRollout(ctx workflow.Context) error {
	r.loaded = append(r.loaded, r.plan.Candidate)
	end := effect{
		step: stepAbort, name: stepAbort + "-" + string(r.plan.Rollout), class: external,
		summary: "end rollout " + string(r.plan.Rollout),
	}
	err := r.perform(ctx, end, (*activities.Routing)(nil).RollBackRollout, func(o activities.Origin) any {
		return activities.RolloutReturn{Origin: o, Command: domain.RollBackRollout{
			ModelID: r.model, RolloutID: r.plan.Rollout, Reason: "its saga has ended without it",
		}}
	})
	if err != nil {
		return err
	}
	r.done(ctx, stepAbort, fmt.Sprintf("rollout %s had no saga any more, and is rolled back", r.plan.Rollout))
	return nil
}

func (r *rollbackModel) ended(ctx workflow.Context, reason string) RollbackModelResult {
	r.skipPending(ctx, OutcomeRolledBack)
	previous := r.plan.Champion
	if r.plan.Served {
		previous = r.plan.Previous
	}
	return RollbackModelResult{
		Outcome: OutcomeRolledBack, Version: r.plan.Version, Previous: previous, Reason: reason,
	}
}
