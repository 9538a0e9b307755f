package domain

import (
	"fmt"
	"math"
	"slices"
)

// Against holds the gate against a candidate's metrics. A metric that is missing or not a finite
// number never passes.
func (g Gate) Against(metrics map[string]float64) GateResult {
	if value, has := metrics[g.Metric]; has {
		return GateResult{Gate: g, Value: &value}.judged()
	}
	return GateResult{Gate: g}
}

// judged sets Passed from the value, whatever it was.
func (r GateResult) judged() GateResult {
	if r.Value == nil || math.IsNaN(*r.Value) || math.IsInf(*r.Value, 0) {
		r.Value, r.Passed = nil, false
		return r
	}
	switch r.Op {
	case ">=":
		r.Passed = *r.Value >= r.Threshold
	case ">":
		r.Passed = *r.Value > r.Threshold
	case "<=":
		r.Passed = *r.Value <= r.Threshold
	case "<":
		r.Passed = *r.Value < r.Threshold
	default:
		r.Passed = false
	}
	return r
}

func (c EvaluateCandidate) validate(v *checks) {
	v.model(c.ModelID)
	v.job("training_job_id", c.TrainingJobID)
	v.metrics("metrics", c.Metrics)
	v.notNegative("rows", c.Rows)
	for i, row := range c.ConfusionMatrix {
		v.require(len(row) == len(c.ConfusionMatrix), at("confusion_matrix", i), "must make the matrix square")
		for j, count := range row {
			v.notNegative(at(at("confusion_matrix", i), j), count)
		}
	}
	for i, label := range c.Labels {
		v.text(at("labels", i), label, maxReason)
	}
	v.require(len(c.ConfusionMatrix) == 0 || len(c.Labels) == 0 || len(c.Labels) == len(c.ConfusionMatrix),
		"labels", "must name each row of the confusion matrix")
	for i, result := range c.Gates {
		v.gate(at("gates", i), result.Gate)
	}
}

func (c EvaluateCandidate) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.active(c.ModelID); err != nil {
		return nil, err
	}
	if err := a.Model.inState(c.TrainingJobID, JobCompleted, "job %s has no candidate to evaluate"); err != nil {
		return nil, err
	}
	if a.Training.Evaluation != nil {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("the candidate of job %s was evaluated before", c.TrainingJobID),
			Current: "evaluated", Allowed: []string{"RequestApproval", "CreateModelVersion"},
		}
	}
	gates := c.judgedGates(a.Model.Jobs[c.TrainingJobID].Config.Gates)
	return []Event{CandidateEvaluated{
		Metrics: present(c.Metrics), ConfusionMatrix: c.ConfusionMatrix, Labels: c.Labels, Rows: c.Rows, Gates: gates,
		Passed: !slices.ContainsFunc(gates, func(r GateResult) bool { return !r.Passed }),
	}}, nil
}

// judgedGates are the command's gates, and those that the job was started with and the command leaves
// out: none can be forgotten.
func (c EvaluateCandidate) judgedGates(configured []Gate) []GateResult {
	var results []GateResult
	for _, result := range c.Gates {
		results = append(results, result.judged())
	}
	for _, gate := range configured {
		if !slices.ContainsFunc(results, func(r GateResult) bool { return r.Gate == gate }) {
			results = append(results, gate.Against(c.Metrics))
		}
	}
	return results
}
