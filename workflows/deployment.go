package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
	"phantom/rollout"
)

// The outcomes of DeployModel, and of RollbackModel and UndeployModel.
const (
	OutcomePromoted   = "promoted"
	OutcomeRolledBack = "rolled_back"
	OutcomeUndeployed = "undeployed"
)

// DeployModelResult is what DeployModel ends with, unless it fails or is cancelled.
type DeployModelResult struct {
	Outcome  string         `json:"outcome"` // promoted, rolled_back or rejected
	Initial  bool           `json:"initial"` // nothing served at the target before
	Version  domain.Version `json:"version"`
	Previous domain.Version `json:"previous"` // what served before; "" when initial
	Reason   string         `json:"reason"`
	// Verdicts are what decided each canary step, with the candidate's numbers.
	Verdicts  []domain.RolloutAssessed `json:"verdicts"`
	RolloutID domain.RolloutID         `json:"rollout_id"` // "" when nothing had to be rolled out
	Position  int64                    `json:"position"`
}

// The steps of DeployModel; between load and promote stands one for each canary step.
const (
	stepVerify  = "verify"
	stepLoad    = "load"
	stepPromote = "promote"
	stepUnload  = "unload"
	stepTraffic = "traffic" // only shown when the traffic is given back
)

func stepCanary(number int) string { return fmt.Sprintf("canary_%d", number) }

// deployModel is one version on its way into a target.
type deployModel struct {
	*saga
	input   DeployModelInput
	rollout domain.RolloutID // "" until it is started
	place   place
	plan    activities.DeploymentPlan

	walk     canaryWalk
	verdicts []domain.RolloutAssessed

	tidied  *undo // unloads what does not serve
	started *undo // ends the rollout
	shifted *undo // gives the traffic back
}

// DeployModel brings a version to a target. Where nothing serves it gets all traffic once it is proven;
// else it gets ever more of it, as long as the numbers allow, and is promoted or rolled back. Cancelled
// before the promotion it is rolled back; after it only the old version is unloaded.
func (w *Sagas) DeployModel(ctx workflow.Context, raw converter.RawValue) (DeployModelResult, error) {
	steps := []string{stepVerify, stepStart, stepApproval, stepLoad}
	s, err := w.open(ctx, KindDeployModel, steps, ActionApprove, ActionReject, ActionPromote, ActionAbort)
	if err != nil {
		return DeployModelResult{}, err
	}
	d := &deployModel{saga: s, verdicts: []domain.RolloutAssessed{}}
	d.followCanary(ctx)
	result := DeployModelResult{}
	if err = d.read(ctx, raw); err == nil {
		result, err = d.story(ctx)
	}
	err = s.close(ctx, result.Outcome, err)
	result.Position = s.position
	return result, err
}

// read takes the input in, before any effect.
func (d *deployModel) read(ctx workflow.Context, raw converter.RawValue) error {
	text, err := payloadJSON(raw)
	if err == nil {
		d.input, err = ParseDeployModel(text)
	}
	if err != nil {
		return activities.Refusal(err)
	}
	actor, err := claimed(Sender{By: d.input.RequestedBy, Actor: d.input.Actor}, false)
	if err != nil {
		return activities.Refusal(err)
	}
	for i, step := range d.input.Strategy.Canary.Steps {
		d.step(stepCanary(i + 1)).Detail = fmt.Sprintf("%d %% for %s", step.Weight, step.Hold)
	}
	d.step(stepPromote)
	d.step(stepUnload)
	d.place = place{saga: d.saga, target: d.input.Target}
	d.details = d.split
	return d.identify(ctx, identity{
		tenant: d.input.Tenant, model: d.input.ModelID, target: d.input.Target, actor: actor, input: d.input,
		title: fmt.Sprintf("deploy %s version %s to %s", d.input.ModelID, d.input.Version, d.input.Target),
	})
}

func (d *deployModel) story(ctx workflow.Context) (DeployModelResult, error) {
	if err := d.verify(ctx); err != nil {
		return DeployModelResult{}, err
	}
	if d.plan.Served {
		return d.reconfigure(ctx)
	}
	d.tidied = d.onUndo(stepUnload, "unload what does not serve", d.unloadUnneeded)
	d.tidied.retire() // nothing is loaded yet
	d.started = d.onUndo(stepStart, "record the rollback", d.recordRolledBack)
	if err := d.start(ctx); err != nil {
		if activities.Refused(err) {
			d.started.retire() // it never started
		}
		return DeployModelResult{}, err
	}
	decision, err := d.approval(ctx)
	if err != nil {
		return DeployModelResult{}, err
	}
	if decision.Decision == domain.Rejected {
		return d.rolledBack(ctx, OutcomeRejected, cmp.Or(decision.Note, "rejected by "+decision.By.Subject)), nil
	}
	d.tidied.rearm()
	if err := d.load(ctx); err != nil {
		if kind := activities.ErrorType(err); kind == activities.TypeTargetRefused {
			return d.rolledBack(ctx, OutcomeRolledBack, errorText(err)), nil
		}
		return DeployModelResult{}, err
	}
	decided, err := d.canary(ctx)
	if err != nil {
		return DeployModelResult{}, err
	}
	if decided.Move == rollout.RollBack {
		return d.rolledBack(ctx, OutcomeRolledBack, decided.Reason), nil
	}
	if err := d.promote(ctx, decided.Reason); err != nil {
		return DeployModelResult{}, err
	}
	if err := d.unloadOld(ctx); err != nil {
		return DeployModelResult{}, err
	}
	return d.ended(ctx, OutcomePromoted, decided.Reason), nil
}

// verify looks at everything that could be refused, before the first effect.
func (d *deployModel) verify(ctx workflow.Context) error {
	look := effect{
		step: stepVerify, class: external, summary: fmt.Sprintf("verify version %s", d.input.Version), out: &d.plan,
	}
	err := d.perform(ctx, look, (*activities.Deployment)(nil).PlanDeployment, func(activities.Origin) any {
		return activities.DeploymentRequest{
			Tenant: d.tenant, ModelID: d.model, Version: d.input.Version, Target: d.input.Target, Config: d.input.Config,
		}
	})
	if err != nil {
		return err
	}
	d.recorded(domain.Result{Position: d.plan.Position})
	d.title = fmt.Sprintf("deploy %s version %s to %s", d.model, d.plan.Version, d.input.Target)
	d.note(ctx, keyVersion().ValueSet(string(d.plan.Version)))
	if d.plan.Team != "" {
		d.note(ctx, keyTeam().ValueSet(d.plan.Team))
	}
	d.done(ctx, stepVerify, fmt.Sprintf("version %s, %s", d.plan.Version, d.plan.Artifact))
	return nil
}

// reconfigure is the way of a version that serves already: without a rollout.
func (d *deployModel) reconfigure(ctx workflow.Context) (DeployModelResult, error) {
	if d.plan.Unchanged {
		return d.ended(ctx, OutcomePromoted, "already deployed"), nil
	}
	if d.input.Approval != nil {
		return DeployModelResult{}, activities.Refusal(&domain.InvalidInput{
			Field: "approval", Reason: "cannot be asked for: the version serves already, only its config changes",
		})
	}
	const reason = "config changed"
	if err := d.place.deploy(ctx, stepPromote, d.plan, reason); err != nil {
		return DeployModelResult{}, err
	}
	return d.ended(ctx, OutcomePromoted, reason), nil
}

// start records the rollout: from here on nobody else rolls out at the target.
func (d *deployModel) start(ctx workflow.Context) error {
	strategy, err := json.Marshal(d.input.Strategy)
	if err != nil {
		return err
	}
	d.rollout = domain.RolloutID(idFor(ctx, "rollout"))
	record := effect{step: stepStart, summary: "start the rollout"}
	err = d.perform(ctx, record, (*activities.Routing)(nil).StartRollout, func(o activities.Origin) any {
		return activities.RolloutStart{Origin: o, Command: domain.StartRollout{
			ModelID: d.model, RolloutID: d.rollout, Version: d.plan.Version, Target: d.input.Target,
			Strategy: strategy, ObserveAfter: d.plan.ObserveAfter,
		}}
	})
	if err != nil {
		return err
	}
	d.done(ctx, stepStart, "rollout "+string(d.rollout))
	return nil
}

// approval asks a person, where the input says so.
func (d *deployModel) approval(ctx workflow.Context) (domain.DecideApproval, error) {
	if d.input.Approval == nil {
		d.skip(ctx, stepApproval, "not asked for")
		return domain.DecideApproval{Decision: domain.Approved}, nil
	}
	return d.ask(ctx, question{
		step: stepApproval, subject: domain.Subject{RolloutID: d.rollout}, terms: *d.input.Approval,
		about: fmt.Sprintf("version %s of %s at %s", d.plan.Version, d.model, d.input.Target),
	})
}

func (d *deployModel) load(ctx workflow.Context) error { return d.place.load(ctx, d.plan) }

// promote gives the candidate all traffic. From then on there is no way back but RollbackModel.
func (d *deployModel) promote(ctx workflow.Context, reason string) error {
	record := effect{step: stepPromote, class: external, summary: "promote: " + reason}
	err := d.perform(ctx, record, (*activities.Routing)(nil).PromoteRollout, func(o activities.Origin) any {
		return activities.RolloutPromotion{Origin: o, Command: domain.PromoteRollout{
			ModelID: d.model, RolloutID: d.rollout, DeploymentConfig: d.plan.Config, Reason: storable(reason),
		}}
	})
	if err != nil {
		return err
	}
	d.started.retire()
	if d.shifted != nil {
		d.shifted.retire()
	}
	d.walk.split = domain.Traffic{d.plan.Version: 100}
	d.done(ctx, stepPromote, reason)
	d.answerAsked(nil)
	return nil
}

// unloadOld unloads the version that served before, when its last requests are answered.
func (d *deployModel) unloadOld(ctx workflow.Context) error {
	if d.plan.Champion == "" {
		d.skip(ctx, stepUnload, "nothing served before")
	} else if err := d.place.unload(ctx, d.plan.Champion); err != nil {
		return err
	}
	d.tidied.retire()
	return nil
}

// rolledBack undoes everything; what is left are the numbers.
func (d *deployModel) rolledBack(ctx workflow.Context, outcome, reason string) DeployModelResult {
	d.compensate(ctx, rollback{reason})
	d.answerAsked(nil)
	return d.ended(ctx, outcome, reason)
}

// rollback is the cause of an undo that is no failure.
type rollback struct{ reason string }

func (r rollback) Error() string { return r.reason }

// ended is the result of a story that came to its end; what it did not need is skipped.
func (d *deployModel) ended(ctx workflow.Context, outcome, reason string) DeployModelResult {
	d.skipPending(ctx, outcome)
	return DeployModelResult{
		Outcome: outcome, Initial: d.plan.Champion == "", Version: d.plan.Version, Previous: d.previous(), Reason: reason,
		Verdicts: d.verdicts, RolloutID: d.rollout,
	}
}

func (d *deployModel) previous() domain.Version {
	if d.plan.Served {
		return d.plan.Previous
	}
	return d.plan.Champion
}
