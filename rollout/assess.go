package rollout

import (
	"fmt"
	"strings"
)

// Verdict is what an assessment says of a candidate or of one metric.
type Verdict string

// The verdicts.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"
	Inconclusive Verdict = "inconclusive"
)

// Assessment is a verdict with its numbers. The zero value is inconclusive: that of metrics that could
// not be reached.
type Assessment struct {
	Verdict  Verdict            `json:"verdict"`
	Reason   string             `json:"reason"`
	Requests int64              `json:"requests"` // of the candidate, warm-up included
	Looked   bool               `json:"looked"`   // some metric had its first look
	Metrics  []MetricAssessment `json:"metrics"`
}

// MetricAssessment is one metric's part of a verdict: cumulative over the rollout, candidate only.
type MetricAssessment struct {
	Rule
	Test      Test     `json:"test"`
	Samples   int64    `json:"samples"`            // that count: after warm-up
	Failures  int64    `json:"failures"`           // of them bad ones: errors, wrong or slow answers
	Estimate  *float64 `json:"estimate,omitempty"` // the metric's point estimate; for latency_ms the share of slow answers
	Statistic float64  `json:"statistic"`          // positive speaks against the candidate
	Lower     float64  `json:"lower"`              // accepted when the statistic was at or below it
	Upper     float64  `json:"upper"`              // failed when it was at or above it
	Verdict   Verdict  `json:"verdict"`
	// Needed is how many more good samples accept the metric when none is bad; 0 when it is decided
	// or the first look can only fail it. Requests of the warm-up come on top.
	Needed int64 `json:"needed,omitempty"`
}

// Assess returns the verdict of a tally: failed when any metric failed, passed when every required
// metric is accepted and some metric had its first look, else inconclusive.
func (a Analysis) Assess(t Tally) Assessment {
	result := Assessment{Verdict: Passed, Requests: t.Requests}
	var failed, open []string
	for i := range a.tests {
		metric := a.assessMetric(i, t)
		result.Metrics = append(result.Metrics, metric)
		result.Looked = result.Looked || metric.Samples >= FirstLook
		switch {
		case metric.Test == RunLength: // told below, for strategies without an error_rate rule too
		case metric.Verdict == Failed:
			failed = append(failed, explain(metric, t.Counts[i]))
		case metric.Verdict == Inconclusive && metric.Required:
			open = append(open, explain(metric, t.Counts[i]))
		}
	}
	if t.Aborted {
		failed = append(failed, fmt.Sprintf("%d requests failed in a row", a.abortRun))
	}
	switch {
	case len(failed) > 0:
		result.Verdict, result.Reason = Failed, strings.Join(failed, "; ")
	case len(open) > 0:
		result.Verdict, result.Reason = Inconclusive, strings.Join(open, "; ")
	case !result.Looked:
		result.Verdict = Inconclusive
		result.Reason = fmt.Sprintf("no metric has %d samples after %d warm-up requests", FirstLook, WarmUp)
	default:
		result.Reason = "every required metric is accepted, none has failed"
	}
	return result
}

func (a Analysis) assessMetric(i int, t Tally) MetricAssessment {
	test, count := a.tests[i], t.Counts[i]
	metric := MetricAssessment{
		Rule: a.rules[i], Test: SPRT, Samples: count.Samples, Failures: count.Failures,
		Statistic: test.ratio(count.Samples, count.Failures), Lower: test.lower, Upper: test.upper,
		Verdict: Inconclusive,
	}
	if count.Samples > 0 {
		estimate := float64(count.Failures) / float64(count.Samples)
		if metric.Metric == Accuracy {
			estimate = 1 - estimate
		}
		metric.Estimate = &estimate
	}
	switch {
	case t.Aborted && count.Failed == "" && metric.Metric == ErrorRate:
		metric.Verdict, metric.Test = Failed, RunLength
		metric.Statistic, metric.Lower, metric.Upper = float64(a.abortRun), 0, float64(a.abortRun)
	case count.Failed == CUSUM:
		metric.Verdict, metric.Test = Failed, CUSUM
		metric.Statistic = test.ratio(count.GuardSamples, count.GuardFailures)
		metric.Lower, metric.Upper = 0, test.guard(count.Samples)
	case count.Failed != "":
		metric.Verdict = Failed
	case count.AcceptedAt > 0:
		metric.Verdict = Passed
	default:
		metric.Needed = test.needed(count)
	}
	return metric
}

// explain is a sentence for people, such as "error_rate: 9 of 120 requests failed, 1 % is allowed".
func explain(m MetricAssessment, c Count) string {
	text := fmt.Sprintf("%s: %d of %d %s", m.Metric, m.Failures, m.Samples, badSample(m.Rule))
	if m.Verdict == Inconclusive {
		return text + fmt.Sprintf(", %d more good ones are needed", max(m.Needed, FirstLook-m.Samples))
	}
	if m.Test == CUSUM {
		text += fmt.Sprintf(", of the latest %d %d", c.GuardSamples, c.GuardFailures)
	}
	allowed, _ := hypotheses(m.Rule)
	return text + fmt.Sprintf(", %.4g %% are allowed (%s: %.2f reached %.2f)",
		100*allowed, m.Test, m.Statistic, m.Upper)
}

func badSample(rule Rule) string {
	switch rule.Metric {
	case Accuracy:
		return "labelled answers were wrong"
	case LatencyMS:
		return fmt.Sprintf("answers took more than %.4g ms", rule.Threshold)
	case ErrorRate:
	}
	return "requests failed"
}
