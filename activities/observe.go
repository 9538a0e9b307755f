package activities

import (
	"context"
	"reflect"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/domain"
	"phantom/rollout"
)

// Rollouts loads a rollout's present state; the registry does.
type Rollouts interface {
	Rollout(ctx context.Context, tenant domain.Tenant, model domain.ModelID, rollout domain.RolloutID) (domain.Rollout, error)
}

// Canary measures candidates.
type Canary struct {
	Commands Commands
	Rollouts Rollouts
	Log      InferenceLog
	Signals  Signals
}

// StepWatch is the input of ObserveStep.
type StepWatch struct {
	Origin
	ModelID      domain.ModelID   `json:"model_id"`
	RolloutID    domain.RolloutID `json:"rollout_id"`
	Target       domain.Target    `json:"target"`
	Version      domain.Version   `json:"version"` // the candidate
	Strategy     rollout.Strategy `json:"strategy"`
	ObserveAfter int64            `json:"observe_after"`
	// Began is when the rollout began: streams of earlier days hold nothing of it.
	Began time.Time     `json:"began"`
	State rollout.State `json:"state"`
	Held  time.Duration `json:"held"` // of the step, before the activity was scheduled
	// Signalled is how many signals of progress the saga has got: their pace goes on from step to step.
	Signalled int `json:"signalled,omitempty"`
}

// StepSeen is the result of ObserveStep: what decided.
type StepSeen struct {
	Held     time.Duration             `json:"held"`
	Verdict  domain.Verdict            `json:"verdict"`
	Reason   string                    `json:"reason"`
	Looked   bool                      `json:"looked"`
	Requests int64                     `json:"requests"` // of the candidate, warm-up included
	Metrics  []domain.MetricAssessment `json:"metrics"`
	// InferencePosition is how far the inference log counts, Position that of the last recorded verdict.
	InferencePosition int64 `json:"inference_position"`
	Position          int64 `json:"position"`
}

// Observed is what a rollout's plan is told.
func (s StepSeen) Observed() rollout.Observed {
	return rollout.Observed{Held: s.Held, Assessment: rollout.Assessment{
		Verdict: rollout.Verdict(s.Verdict), Reason: s.Reason, Looked: s.Looked, Requests: s.Requests,
	}}
}

// The pace of a canary's observation.
const (
	lookEvery   = 200 * time.Millisecond
	assessEvery = 2 * time.Second
)

// ObserveStep folds the inference log since the rollout began, cumulative over all steps, until the
// numbers decide the step: as the rollout's plan says, with the time that it was held. Verdicts are
// recorded when they change, and while numbers change at most every two seconds, ever more rarely as they
// become many. An attempt that takes over folds the log anew and comes to the same numbers, and records
// none that stand there already.
func (c *Canary) ObserveStep(ctx context.Context, in StepWatch) (StepSeen, error) {
	plan, err := rollout.NewPlan(in.Strategy)
	if err != nil {
		return StepSeen{}, refusedAs(TypeInvalidInput, err)
	}
	w := &stepWatch{canary: c, in: in, signals: signalCount{Sent: in.Signalled}}
	w.fold = newEvidenceFold(c.Log, in, func() { activity.RecordHeartbeat(ctx, w.signals) })
	if err := w.resume(ctx); err != nil {
		return StepSeen{}, err
	}
	for {
		if err := w.fold.advance(ctx, time.Now()); err != nil {
			return StepSeen{}, err
		}
		seen := w.look(ctx)
		_, action, err := plan.Next(in.State, seen.Observed())
		if err != nil {
			return StepSeen{}, refusedAs(TypeInvalidState, err)
		}
		decided := action.Move != rollout.Hold && (action.Move != rollout.WaitForPerson || !in.State.Waiting)
		if err := w.record(ctx, seen, decided); err != nil {
			return StepSeen{}, err
		}
		if decided {
			seen.Position = w.position
			return seen, nil
		}
		w.report(ctx, seen)
		pause(ctx, lookEvery)
		if err := attemptEnds(ctx); err != nil {
			return StepSeen{}, err
		}
	}
}

// stepWatch is one attempt of ObserveStep.
type stepWatch struct {
	canary *Canary
	in     StepWatch
	fold   *evidenceFold

	last     *domain.RolloutAssessed // as recorded
	lastAt   time.Time
	records  int
	position int64

	signals  signalCount
	signaled []domain.MetricAssessment
}

// resume finds what the attempts and steps before have recorded.
func (w *stepWatch) resume(ctx context.Context) error {
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &w.signals); err != nil {
			activity.GetLogger(ctx).Warn("heartbeat details not read", "error", err.Error())
		}
	}
	state, err := w.canary.Rollouts.Rollout(ctx, w.in.Tenant, w.in.ModelID, w.in.RolloutID)
	if err != nil {
		return Refusal(err)
	}
	w.last = state.Assessed
	return nil
}

// look is the verdict now. Time counts from when the saga scheduled the activity, over all attempts.
func (w *stepWatch) look(ctx context.Context) StepSeen {
	held := w.in.Held + max(0, time.Since(activity.GetInfo(ctx).ScheduledTime))
	assessment := w.fold.evidence.Assess()
	seen := StepSeen{
		Held: held, Verdict: domain.Verdict(assessment.Verdict), Reason: assessment.Reason, Looked: assessment.Looked,
		Requests: assessment.Requests, InferencePosition: w.fold.position,
	}
	for _, metric := range assessment.Metrics {
		seen.Metrics = append(seen.Metrics, recordable(metric))
	}
	return seen
}

// recordable is an assessment in the domain's words.
func recordable(m rollout.MetricAssessment) domain.MetricAssessment {
	return domain.MetricAssessment{
		Metric: string(m.Metric), Op: m.Op, Threshold: m.Threshold, Quantile: m.Quantile, Required: m.Required,
		Test: string(m.Test), Samples: m.Samples, Failures: m.Failures, Estimate: m.Estimate, Statistic: m.Statistic,
		Lower: m.Lower, Upper: m.Upper, Verdict: domain.Verdict(m.Verdict), Needed: m.Needed,
	}
}

// record writes a verdict down when it is due. The command's item is the inference log's position: the
// numbers at a position are always the same.
func (w *stepWatch) record(ctx context.Context, seen StepSeen, decided bool) error {
	if !w.due(seen, decided) {
		return nil
	}
	assess := domain.AssessRollout{
		ModelID: w.in.ModelID, RolloutID: w.in.RolloutID, Step: w.in.State.Step, Verdict: seen.Verdict, Reason: seen.Reason,
		Metrics: seen.Metrics, InferencePosition: seen.InferencePosition,
	}
	origin := w.in.Item(strconv.FormatInt(seen.InferencePosition, 10))
	result, err := origin.Do(ctx, w.canary.Commands, assess)
	if err != nil {
		return Refusal(err)
	}
	w.last = &domain.RolloutAssessed{Step: assess.Step, Verdict: assess.Verdict, Metrics: assess.Metrics}
	w.lastAt, w.position = time.Now(), result.Position
	w.records++
	return nil
}

func (w *stepWatch) due(seen StepSeen, decided bool) bool {
	if w.last == nil || w.last.Verdict != seen.Verdict {
		return true
	}
	same := reflect.DeepEqual(w.last.Metrics, seen.Metrics)
	if decided {
		return !same || w.last.Step != w.in.State.Step
	}
	every := assessEvery << min(w.records/50, 8)
	return !same && time.Since(w.lastAt) >= every
}
