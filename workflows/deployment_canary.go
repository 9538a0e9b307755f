package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
	"phantom/rollout"
)

// canaryWalk is where a rollout stands on its strategy's plan.
type canaryWalk struct {
	plan  rollout.Plan
	state rollout.State
	began time.Time // when the candidate was about to get its first traffic
	since time.Time // when every gateway had the present step's split
	split domain.Traffic
	looks int      // observations so far, each an activity with command ids of its own
	heard int      // signals of progress so far
	asked *message // what the next effect answers
}

// reasonInitial is the reason of a promotion where nothing served.
const reasonInitial = "initial"

// canary walks the steps until the numbers or a person decide. What it returns is Promote or RollBack.
func (d *deployModel) canary(ctx workflow.Context) (rollout.Action, error) {
	if d.plan.Champion == "" {
		return rollout.Action{Move: rollout.Promote, Reason: reasonInitial}, nil
	}
	var err error
	if d.walk.plan, err = rollout.NewPlan(d.input.Strategy); err != nil {
		return rollout.Action{}, err
	}
	d.walk.began = workflow.Now(ctx)
	d.shifted = d.onUndo(stepTraffic, "give the traffic back to the champion", d.restoreTraffic)
	action, err := d.next(rollout.Begun{})
	for err == nil && action.Move != rollout.Promote && action.Move != rollout.RollBack {
		if action.Move == rollout.Shift {
			err = d.shift(ctx, action)
		}
		if err == nil {
			action, err = d.observe(ctx)
		}
	}
	return action, err
}

func (d *deployModel) next(event rollout.Event) (action rollout.Action, err error) {
	d.walk.state, action, err = d.walk.plan.Next(d.walk.state, event)
	return action, err
}

// shift gives the candidate the step's share; it is done when every gateway routes by it.
func (d *deployModel) shift(ctx workflow.Context, action rollout.Action) error {
	step := stepCanary(action.Step)
	split := domain.Traffic{d.plan.Champion: 100 - action.Weight, d.plan.Version: action.Weight}
	record := effect{
		step: step, name: step + "-shift", class: external, aside: true,
		summary: fmt.Sprintf("%d %% to version %s", action.Weight, d.plan.Version),
	}
	err := d.perform(ctx, record, (*activities.Routing)(nil).ShiftTraffic, func(o activities.Origin) any {
		return activities.TrafficShift{Origin: o, Command: domain.ShiftTraffic{
			ModelID: d.model, RolloutID: d.rollout, Weights: split,
		}}
	})
	if err != nil {
		return err
	}
	d.walk.since, d.walk.split = workflow.Now(ctx), split
	d.answerAsked(nil)
	return nil
}

// observe holds the step until the numbers, or a person, say what comes next.
func (d *deployModel) observe(ctx workflow.Context) (rollout.Action, error) {
	step := stepCanary(d.walk.state.Step)
	for {
		if d.step(step).State != StepRunning {
			d.begin(ctx, step)
		}
		var seen activities.StepSeen
		m, err := d.look(ctx, step, &seen)
		switch {
		case err == nil && m == nil:
			return d.decided(ctx, step, seen)
		case err == nil:
			action, again, err := d.told(ctx, step, m)
			if err != nil || !again {
				return action, err
			}
		case wasCanceled(ctx, err):
			d.end(ctx, step, StepFailed, "cancelled")
			return rollout.Action{}, err
		case activities.Refused(err):
			d.end(ctx, step, StepFailed, errorText(err))
			return rollout.Action{}, err
		default:
			action, again, err := d.parked(ctx, step, err)
			if err != nil || !again {
				return action, err
			}
		}
	}
}

// look runs one observation. It ends when the numbers decide, or with a person's message; then the
// activity has ended too.
func (d *deployModel) look(ctx workflow.Context, step string, seen *activities.StepSeen) (*message, error) {
	d.walk.looks++
	e := effect{step: step, name: fmt.Sprintf("observe-%d", d.walk.looks), class: long}
	watch := activities.StepWatch{
		Origin: d.origin(ctx, e, 1), ModelID: d.model, RolloutID: d.rollout, Target: d.input.Target,
		Version: d.plan.Version, Strategy: d.input.Strategy, ObserveAfter: d.plan.ObserveAfter, Began: d.walk.began,
		State: d.walk.state, Held: workflow.Now(ctx).Sub(d.walk.since), Signalled: d.walk.heard,
	}
	summary := fmt.Sprintf("observe version %s at %d %%", d.plan.Version, d.walk.split[d.plan.Version])
	working, stop := workflow.WithCancel(workflow.WithActivityOptions(ctx,
		activityOptions(e.class, d.settings.Queues.Orchestration, summary, d.settings.Attempts)))
	defer stop()
	future := workflow.ExecuteActivity(working, (*activities.Canary)(nil).ObserveStep, watch)
	d.allowed = []Action{ActionPromote, ActionAbort}
	if d.walk.state.Waiting {
		d.waiting, d.allowed = new(WaitingDecision), append(d.allowed, ActionRetryStep)
	}
	d.render(ctx)
	err := workflow.Await(ctx, func() bool { return future.IsReady() || d.mail() != nil })
	d.waiting, d.allowed = nil, nil
	m := d.take()
	if m != nil && err == nil && (m.action == ActionAbort || !future.IsReady()) {
		stop()
		_ = future.Get(ctx, nil) // what it saw does not matter any more
		return m, nil
	}
	d.dismiss() // the numbers were faster
	return nil, future.Get(ctx, seen)
}

// parked is a step that cannot be observed: a person says whether to try again, or what to do without.
func (d *deployModel) parked(ctx workflow.Context, step string, cause error) (rollout.Action, bool, error) {
	d.lastError = errorText(cause)
	d.end(ctx, step, StepFailed, d.lastError)
	m, err := d.await(ctx, wait{on: WaitingRetryStep, actions: []Action{ActionRetryStep, ActionPromote, ActionAbort}})
	if err != nil {
		return rollout.Action{}, false, err
	}
	d.lastError = ""
	if m.action != ActionRetryStep {
		return d.told(ctx, step, m)
	}
	d.begin(ctx, step)
	d.step(step).Attempt++
	d.step(step).Detail = "tried again by " + m.by.Subject
	m.answer(Receipt{Revision: d.revision, Position: d.position}, nil)
	return rollout.Action{}, true, nil
}

// decided goes where the numbers lead.
func (d *deployModel) decided(ctx workflow.Context, step string, seen activities.StepSeen) (rollout.Action, error) {
	d.recorded(domain.Result{Position: seen.Position})
	d.progress = seen.Progress()
	d.verdicts = append(d.verdicts, domain.RolloutAssessed{
		Step: d.walk.state.Step, Verdict: seen.Verdict, Reason: seen.Reason,
		Metrics: append([]domain.MetricAssessment{}, seen.Metrics...), InferencePosition: seen.InferencePosition,
	})
	action, err := d.next(seen.Observed())
	switch {
	case err != nil:
	case action.Move == rollout.RollBack:
		d.end(ctx, step, StepFailed, action.Reason)
	case action.Move == rollout.WaitForPerson:
		d.step(step).Detail = action.Reason
	default:
		d.done(ctx, step, action.Reason)
	}
	return action, err
}

// told does what a person says; again means that the step goes on. The message is answered by the effect
// that it asked for.
func (d *deployModel) told(ctx workflow.Context, step string, m *message) (action rollout.Action, again bool, err error) {
	told := rollout.Told{Message: rollout.PromoteStep, By: m.by.Subject, Reason: m.text}
	switch {
	case m.action == ActionRetryStep:
		d.walk.state.Waiting, d.walk.since = false, workflow.Now(ctx)
		d.step(step).Detail = "held once more by " + m.by.Subject
		m.answer(Receipt{Revision: d.revision, Position: d.position}, nil)
		return action, true, nil
	case m.action == ActionAbort:
		told.Message = rollout.Abort
	case m.full:
		told.Message = rollout.PromoteFull
	}
	action, err = d.next(told)
	if err != nil {
		m.answer(Receipt{}, err)
		return action, false, err
	}
	d.walk.asked = m
	state := StepDone
	if action.Move == rollout.RollBack {
		state = StepFailed
	}
	d.end(ctx, step, state, action.Reason)
	return action, false, nil
}

// answerAsked answers the person whose wish was just done.
func (d *deployModel) answerAsked(err error) {
	if m := d.walk.asked; m != nil {
		d.walk.asked = nil
		m.answer(Receipt{Revision: d.revision, Position: d.position}, err)
	}
}

// split is a table of who gets how much of the traffic.
func (d *deployModel) split() string {
	if len(d.walk.split) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| version | traffic |\n|---|---|\n")
	for _, version := range []domain.Version{d.plan.Champion, d.plan.Version} {
		if version != "" {
			fmt.Fprintf(&b, "| %s | %d %% |\n", version, d.walk.split[version])
		}
	}
	return b.String()
}

// followCanary keeps the numbers that the observing activity signals.
func (d *deployModel) followCanary(ctx workflow.Context) {
	signals := workflow.GetSignalChannelWithOptions(ctx, activities.SignalProgress,
		workflow.SignalChannelOptions{Description: "The candidate's numbers; sent by the activity that observes it."})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var seen Progress
			signals.Receive(ctx, &seen)
			d.walk.heard++
			if strings.HasPrefix(d.stage, "canary_") {
				d.progress = seen
				d.render(ctx)
			}
		}
	})
}
