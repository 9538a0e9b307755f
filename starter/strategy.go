package main

import (
	"encoding/json"
	"fmt"

	"github.com/dustin/go-humanize"

	"phantom/rollout"
)

// needs is what one rule of a strategy takes to be accepted, when nothing bad is seen.
type needs struct {
	rule    rollout.Rule
	samples int64
}

// needsOf asks the tests themselves; nothing for a strategy that the server will refuse.
func needsOf(strategy rollout.Strategy) []needs {
	strategy = strategy.WithDefaults()
	if strategy.Validate() != nil {
		return nil
	}
	rules := strategy.Canary.Analysis
	verdict := rollout.NewAnalysis(strategy).Assess(rollout.Tally{Counts: make([]rollout.Count, len(rules))})
	found := make([]needs, len(rules))
	for i, metric := range verdict.Metrics {
		found[i] = needs{rule: rules[i], samples: metric.Needed}
	}
	return found
}

// needsText says before a canary how much traffic and how many labels decide it.
func needsText(body spec) []string {
	var strategy rollout.Strategy
	if raw, err := json.Marshal(body["strategy"]); err != nil || json.Unmarshal(raw, &strategy) != nil {
		return nil // the server says what is wrong with it
	}
	found := needsOf(strategy)
	lines := make([]string, 0, len(found)+1)
	for _, n := range found {
		kind := ""
		if !n.rule.Required {
			kind = ", which is not required"
		}
		lines = append(lines, fmt.Sprintf("a canary needs some %s %s of the new version for %s %s %s%s",
			humanize.Comma(n.samples), sample(string(n.rule.Metric)), n.rule.Metric, n.rule.Op, number(n.rule.Threshold), kind))
	}
	if len(found) > 0 {
		lines = append(lines, fmt.Sprintf("its first %d requests are warm-up and count for nothing; labels come by `phantom feedback`", rollout.WarmUp))
	}
	return lines
}

// sample is what a metric counts.
func sample(metric string) string {
	switch rollout.Metric(metric) {
	case rollout.Accuracy:
		return "right labels"
	case rollout.LatencyMS:
		return "quick answers"
	case rollout.ErrorRate:
	}
	return "clean answers"
}

// need is how a metric of a running canary stands.
func need(m assessedMetric) string {
	if m.Verdict != "inconclusive" {
		return m.Metric + " " + m.Verdict
	}
	return fmt.Sprintf("%s needs %s more %s", m.Metric, humanize.Comma(m.Needed), sample(m.Metric))
}
