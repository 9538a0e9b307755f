package domain

import (
	"fmt"
	"maps"
	"slices"
)

func (c StartRollout) validate(v *checks) {
	v.model(c.ModelID)
	v.rollout("rollout_id", c.RolloutID)
	v.version("version", c.Version)
	v.target("target", c.Target)
	v.object("strategy", c.Strategy)
	v.notNegative("observe_after", c.ObserveAfter)
}

func (c StartRollout) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.deployable(c.ModelID, c.Version); err != nil {
		return nil, err
	}
	if _, ended := m.EndedRollouts[c.RolloutID]; ended {
		return nil, &AlreadyExists{Kind: "rollout", ID: string(c.RolloutID)}
	}
	if err := m.noRollout(c.Target); err != nil {
		return nil, err
	}
	if _, running := m.RunningRollout(c.RolloutID); running {
		return nil, &AlreadyExists{Kind: "rollout", ID: string(c.RolloutID)}
	}
	if m.Champion(c.Target) == c.Version {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("version %s of model %s serves at %s already", c.Version, c.ModelID, c.Target),
			Current: string(m.Status()), Allowed: []string{"StartRollout of another version", "DeployModel", "UndeployModel"},
		}
	}
	return []Event{RolloutStarted{
		RolloutID: c.RolloutID, Version: c.Version, PreviousVersion: m.Champion(c.Target), Target: c.Target,
		Strategy: canonical(c.Strategy), ObserveAfter: c.ObserveAfter,
	}}, nil
}

func (c PromoteRollout) validate(v *checks) {
	v.model(c.ModelID)
	v.rollout("rollout_id", c.RolloutID)
	v.object("deployment_config", c.DeploymentConfig)
	v.text("reason", c.Reason, maxReason)
}

func (c PromoteRollout) decide(a Aggregates) ([]Event, error) {
	running, err := a.Model.rolloutRuns(c.ModelID, c.RolloutID)
	if err != nil {
		return nil, err
	}
	if err := a.Rollout.Approval.cleared(Subject{RolloutID: c.RolloutID}); err != nil {
		return nil, err
	}
	return []Event{
		RolloutPromoted{RolloutID: c.RolloutID, Version: running.Version, Target: running.Target, Reason: c.Reason},
		ModelDeployed{
			Version: running.Version, PreviousVersion: running.Champion, DeploymentTarget: running.Target,
			DeploymentConfig: canonical(c.DeploymentConfig), RolloutID: c.RolloutID, Reason: c.Reason,
		},
	}, nil
}

func (c RollBackRollout) validate(v *checks) {
	v.model(c.ModelID)
	v.rollout("rollout_id", c.RolloutID)
	v.needed("reason", c.Reason, maxReason)
}

func (c RollBackRollout) decide(a Aggregates) ([]Event, error) {
	running, err := a.Model.rolloutRuns(c.ModelID, c.RolloutID)
	if err != nil {
		return nil, err
	}
	return []Event{RolloutRolledBack{
		RolloutID: c.RolloutID, Version: running.Version, RestoredVersion: running.Champion,
		Target: running.Target, Reason: c.Reason,
	}}, nil
}

func (c ShiftTraffic) validate(v *checks) {
	v.model(c.ModelID)
	v.rollout("rollout_id", c.RolloutID)
	for _, version := range slices.Sorted(maps.Keys(c.Weights)) {
		v.version("weights."+string(version), version)
		v.upTo(100, "weights."+string(version), float64(c.Weights[version]))
	}
	v.require(c.Weights.Sum() == 100, "weights", fmt.Sprintf("must sum to 100, not %d", c.Weights.Sum()))
}

func (c ShiftTraffic) decide(a Aggregates) ([]Event, error) {
	running, err := a.Model.rolloutRuns(c.ModelID, c.RolloutID)
	if err != nil {
		return nil, err
	}
	weights := c.Weights.withoutZeros()
	for _, version := range slices.Sorted(maps.Keys(weights)) {
		if version != running.Version && version != running.Champion {
			return nil, &InvalidInput{
				Field:  "weights." + string(version),
				Reason: "the rollout is about " + running.versions(),
			}
		}
	}
	if maps.Equal(weights, a.Rollout.Weights) {
		return nil, nil
	}
	return []Event{TrafficShifted{
		Target: running.Target, Weights: weights, RouteGeneration: a.Rollout.RouteGeneration + 1,
	}}, nil
}

func (r RunningRollout) versions() string {
	if r.Champion == "" {
		return fmt.Sprintf("version %s alone", r.Version)
	}
	return fmt.Sprintf("the versions %s and %s", r.Champion, r.Version)
}

func (c AssessRollout) validate(v *checks) {
	v.model(c.ModelID)
	v.rollout("rollout_id", c.RolloutID)
	v.require(c.Step >= 1, "step", "must be 1 or more")
	v.verdict("verdict", c.Verdict)
	v.text("reason", c.Reason, maxReason)
	v.notNegative("inference_position", c.InferencePosition)
	for i, metric := range c.Metrics {
		v.assessment(at("metrics", i), metric)
	}
}

func (v *checks) verdict(field string, verdict Verdict) {
	switch verdict {
	case VerdictPassed, VerdictFailed, VerdictInconclusive:
	default:
		v.refuse(field, "must be passed, failed or inconclusive")
	}
}

func (v *checks) assessment(field string, m MetricAssessment) {
	v.needed(field+".metric", m.Metric, maxName)
	v.require(m.Op == "<=" || m.Op == ">=", field+".op", "must be <= or >=")
	v.needed(field+".test", m.Test, maxName)
	v.verdict(field+".verdict", m.Verdict)
	v.upTo(1, field+".quantile", m.Quantile)
	v.notNegative(field+".samples", m.Samples)
	v.notNegative(field+".failures", m.Failures)
	v.notNegative(field+".needed", m.Needed)
	for _, number := range []struct {
		name  string
		value float64
	}{{"threshold", m.Threshold}, {"statistic", m.Statistic}, {"lower", m.Lower}, {"upper", m.Upper}} {
		v.finite(field+"."+number.name, number.value)
	}
	if m.Estimate != nil {
		v.finite(field+".estimate", *m.Estimate)
	}
}

func (c AssessRollout) decide(a Aggregates) ([]Event, error) {
	if _, err := a.Model.rolloutRuns(c.ModelID, c.RolloutID); err != nil {
		return nil, err
	}
	return []Event{RolloutAssessed{
		Step: c.Step, Verdict: c.Verdict, Reason: c.Reason,
		Metrics:           append([]MetricAssessment{}, c.Metrics...), // written as [], not as null
		InferencePosition: c.InferencePosition,
	}}, nil
}

// rolloutRuns finds the rollout, or refuses one that does not run.
func (m Model) rolloutRuns(model ModelID, id RolloutID) (RunningRollout, error) {
	if err := m.alive(model); err != nil {
		return RunningRollout{}, err
	}
	running, found := m.RunningRollout(id)
	if found {
		return running, nil
	}
	refusal := &InvalidState{Reason: fmt.Sprintf("rollout %s does not run", id), Current: "unknown"}
	if end, ended := m.EndedRollouts[id]; ended {
		refusal.Current = string(end)
	}
	return RunningRollout{}, refusal
}

// noRollout refuses while a rollout runs at the target.
func (m Model) noRollout(t Target) error {
	running, runs := m.Rollouts[t]
	if !runs {
		return nil
	}
	return &InvalidState{
		Reason:  fmt.Sprintf("rollout %s runs at %s", running.ID, t),
		Current: "rolling out version " + string(running.Version),
		Allowed: []string{"PromoteRollout", "RollBackRollout"},
	}
}
