package main

import (
	"time"

	"phantom/rollout"
)

// scenario is one row: a truth about a candidate, its traffic and its labels, under a policy.
type scenario struct {
	name   string
	truth  truth
	policy []rollout.Rule
	rate   float64 // requests a second to the model, candidate and champion together
	labels labels
	// after is how the candidate behaves once the error rate was accepted and so many more requests
	// were served; nil for one that stays as it is.
	after *collapse
}

// truth is what the tests try to find out: shares of bad samples.
type truth struct{ errors, wrong, slow float64 }

// labels says which share of the answers is labelled, and how late on average (exponential).
type labels struct {
	share float64
	delay time.Duration
}

type collapse struct {
	requests int64
	truth    truth
}

// standing is a truth against its policy: which end would be wrong.
type standing string

const (
	good standing = "good" // no metric worse than its threshold: a rollback is false
	grey standing = "grey" // between threshold and alternative: either end will do
	bad  standing = "bad"  // some metric at its alternative or worse: a promotion is false
)

func (s scenario) standing() standing {
	now := s.truth
	if s.after != nil {
		now = s.after.truth
	}
	result := good
	for _, rule := range s.policy {
		var share, allowed, caught float64
		switch rule.Metric {
		case rollout.ErrorRate:
			share, allowed, caught = now.errors, rule.Threshold, 2*rule.Threshold
		case rollout.Accuracy:
			share, allowed, caught = now.wrong, 1-rule.Threshold, 1.05-rule.Threshold
		case rollout.LatencyMS:
			share, allowed, caught = now.slow, 1-rule.Quantile, 2*(1-rule.Quantile)
		}
		const rounding = 1e-9
		switch {
		case share >= caught-rounding:
			return bad
		case share > allowed+rounding:
			result = grey
		}
	}
	return result
}

const busy = 50 // requests a second

func errorRate() rollout.Rule {
	return rollout.Rule{Metric: rollout.ErrorRate, Threshold: 0.01, Required: true}
}

func accuracy() rollout.Rule {
	return rollout.Rule{Metric: rollout.Accuracy, Threshold: 0.9, Required: true}
}

func latency() rollout.Rule {
	return rollout.Rule{Metric: rollout.LatencyMS, Threshold: 50, Quantile: 0.99, Required: true}
}

func scenarios() []scenario {
	onErrors := []rollout.Rule{errorRate()}
	onLabels := []rollout.Rule{errorRate(), accuracy()}
	onLatency := []rollout.Rule{errorRate(), latency()}
	onAll := []rollout.Rule{errorRate(), accuracy(), latency()}
	soon := labels{share: 0.5, delay: 5 * time.Second}
	return []scenario{
		{name: "no errors", policy: onErrors, rate: busy},
		{name: "0.1 % errors", truth: truth{errors: 0.001}, policy: onErrors, rate: busy},
		{name: "0.5 % errors, half of what is allowed", truth: truth{errors: 0.005}, policy: onErrors, rate: busy},
		{name: "1 % errors, just what is allowed", truth: truth{errors: 0.01}, policy: onErrors, rate: busy},
		{name: "1.5 % errors", truth: truth{errors: 0.015}, policy: onErrors, rate: busy},
		{name: "2 % errors, twice", truth: truth{errors: 0.02}, policy: onErrors, rate: busy},
		{name: "5 % errors, five times", truth: truth{errors: 0.05}, policy: onErrors, rate: busy},
		{name: "answers nothing", truth: truth{errors: 1}, policy: onErrors, rate: busy},
		{name: "few requests (1 in 5 s), 0.1 % errors", truth: truth{errors: 0.001}, policy: onErrors, rate: 0.2},
		{name: "few requests (1 in 5 s), 5 % errors", truth: truth{errors: 0.05}, policy: onErrors, rate: 0.2},
		{name: "hardly any (1 in 20 s), no errors", policy: onErrors, rate: 0.05},

		{name: "accuracy 0.97", truth: truth{wrong: 0.03}, policy: onLabels, rate: busy, labels: soon},
		{name: "accuracy 0.93", truth: truth{wrong: 0.07}, policy: onLabels, rate: busy, labels: soon},
		{name: "accuracy 0.90, just what is wanted", truth: truth{wrong: 0.1}, policy: onLabels, rate: busy, labels: soon},
		{name: "accuracy 0.85", truth: truth{wrong: 0.15}, policy: onLabels, rate: busy, labels: soon},
		{name: "accuracy 0.80", truth: truth{wrong: 0.2}, policy: onLabels, rate: busy, labels: soon},
		{name: "accuracy 0.30, a data bug", truth: truth{wrong: 0.7}, policy: onLabels, rate: busy, labels: soon},
		{
			name: "accuracy 0.97, labels 20 min late", truth: truth{wrong: 0.03}, policy: onLabels, rate: 5,
			labels: labels{share: 0.1, delay: 20 * time.Minute},
		},
		{
			name: "accuracy 0.80, labels 20 min late", truth: truth{wrong: 0.2}, policy: onLabels, rate: 5,
			labels: labels{share: 0.1, delay: 20 * time.Minute},
		},
		{name: "accuracy 0.97, no labels", truth: truth{wrong: 0.03}, policy: onLabels, rate: 5},

		{name: "0.2 % slow", truth: truth{slow: 0.002}, policy: onLatency, rate: busy},
		{name: "1 % slow, just what is allowed", truth: truth{slow: 0.01}, policy: onLatency, rate: busy},
		{name: "2 % slow, twice", truth: truth{slow: 0.02}, policy: onLatency, rate: busy},
		{name: "10 % slow", truth: truth{slow: 0.1}, policy: onLatency, rate: busy},
		{
			name: "all three at half of what is allowed", truth: truth{errors: 0.005, wrong: 0.05, slow: 0.005},
			policy: onAll, rate: busy, labels: soon,
		},
		{
			name: "all three just as allowed", truth: truth{errors: 0.01, wrong: 0.1, slow: 0.01},
			policy: onAll, rate: busy, labels: soon,
		},
	}
}

// collapses are candidates whose error rate rises after it was accepted, while labels are awaited.
func collapses() []scenario {
	var rows []scenario
	for _, c := range []struct {
		name     string
		requests int64
		errors   float64
	}{
		{"2 % errors at once", 0, 0.02},
		{"5 % errors at once", 0, 0.05},
		{"5 % errors after 2,000 more good requests", 2000, 0.05},
		{"20 % errors after 2,000 more good requests", 2000, 0.2},
		{"5 % errors after 10,000 more good requests", 10_000, 0.05},
		{"answers nothing after 10,000 more good requests", 10_000, 1},
	} {
		rows = append(rows, scenario{
			name: c.name, policy: []rollout.Rule{errorRate(), accuracy()}, rate: busy,
			after: &collapse{requests: c.requests, truth: truth{errors: c.errors}},
		})
	}
	return rows
}
