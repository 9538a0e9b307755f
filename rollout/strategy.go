package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	defaultHold     = "30s"
	defaultMaxHold  = "1h"
	defaultErrors   = 0.01
	defaultQuantile = 0.99
)

// Default is the strategy of a deployment that names none: 10 % and 50 % for 30 s each, an error rate
// of at most 0.01 required.
func Default() Strategy { return Strategy{}.WithDefaults() }

// WithDefaults fills what is left out: steps, holds, max_hold, on_inconclusive, the analysis, and in a
// rule its op and quantile. What is given is kept, right or wrong; Validate judges it.
func (s Strategy) WithDefaults() Strategy {
	canary := s.Canary
	canary.Steps = slices.Clone(canary.Steps)
	if len(canary.Steps) == 0 {
		canary.Steps = []Step{{Weight: 10}, {Weight: 50}}
	}
	for i := range canary.Steps {
		canary.Steps[i].Hold = orDefault(canary.Steps[i].Hold, defaultHold)
	}
	canary.MaxHold = orDefault(canary.MaxHold, defaultMaxHold)
	canary.OnInconclusive = orDefault(canary.OnInconclusive, OnInconclusivePause)
	canary.Analysis = slices.Clone(canary.Analysis)
	if len(canary.Analysis) == 0 {
		canary.Analysis = []Rule{{Metric: ErrorRate, Threshold: defaultErrors, Required: true}}
	}
	for i, rule := range canary.Analysis {
		canary.Analysis[i].Op = orDefault(rule.Op, fittingOp(rule.Metric))
		if rule.Metric == LatencyMS {
			canary.Analysis[i].Quantile = orDefault(rule.Quantile, defaultQuantile)
		}
	}
	return Strategy{Canary: canary}
}

// Validate reports every bad field of a strategy that has its defaults, as joined *Invalid errors.
func (s Strategy) Validate() error {
	var found problems
	longest := found.checkMaxHold(s.Canary)
	found.checkSteps(s.Canary.Steps, longest)
	found.checkAnalysis(s.Canary.Analysis)
	return errors.Join(found...)
}

type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, &Invalid{Field: "strategy.canary." + field, Reason: fmt.Sprintf(format, args...)})
}

// checkMaxHold returns max_hold, or the longest duration when it is unreadable, so that one bad field
// is not reported twice.
func (p *problems) checkMaxHold(canary Canary) time.Duration {
	switch canary.OnInconclusive {
	case OnInconclusivePause, OnInconclusiveContinue, OnInconclusiveRollBack:
	default:
		p.add("on_inconclusive", "%q is none of pause, continue, rollback", canary.OnInconclusive)
	}
	longest, ok := p.checkDuration("max_hold", canary.MaxHold)
	if !ok {
		return math.MaxInt64
	}
	return longest
}

func (p *problems) checkDuration(field, text string) (time.Duration, bool) {
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		p.add(field, "%q is not a duration like 30s, 5m or 1h", text)
	case duration < 0:
		p.add(field, "%s is negative", text)
	default:
		return duration, true
	}
	return 0, false
}

func (p *problems) checkSteps(steps []Step, longest time.Duration) {
	if len(steps) == 0 {
		p.add("steps", "at least one step is needed")
	}
	before := 0
	for i, step := range steps {
		field := fmt.Sprintf("steps[%d].", i)
		switch {
		case step.Weight < 1 || step.Weight > 100:
			p.add(field+"weight", "%d is not a percentage from 1 to 100", step.Weight)
		case step.Weight <= before:
			p.add(field+"weight", "%d is not above the step before, %d", step.Weight, before)
		}
		before = max(before, step.Weight)
		if hold, ok := p.checkDuration(field+"hold", step.Hold); ok && hold > longest {
			p.add(field+"hold", "%s is longer than max_hold, %s", step.Hold, longest)
		}
	}
}

func (p *problems) checkAnalysis(rules []Rule) {
	if len(rules) == 0 {
		p.add("analysis", "at least one rule is needed")
	}
	seen := map[Metric]int{}
	for i, rule := range rules {
		field := fmt.Sprintf("analysis[%d].", i)
		if !p.checkRule(field, rule) {
			continue
		}
		if first, twice := seen[rule.Metric]; twice {
			p.add(field+"metric", "%s has a rule already, analysis[%d]", rule.Metric, first)
			continue
		}
		seen[rule.Metric] = i
	}
}

// checkRule reports false for a metric that nobody knows: nothing else about it can be judged.
func (p *problems) checkRule(field string, rule Rule) bool {
	op := fittingOp(rule.Metric)
	if op == "" {
		p.add(field+"metric", "%q is none of error_rate, latency_ms, accuracy", rule.Metric)
		return false
	}
	switch {
	case rule.Op != AtMost && rule.Op != AtLeast:
		p.add(field+"op", "%q is neither <= nor >=", rule.Op)
	case rule.Op != op:
		p.add(field+"op", "%s takes %s, not %s", rule.Metric, op, rule.Op)
	}
	p.checkThreshold(field+"threshold", rule)
	switch {
	case rule.Metric != LatencyMS && rule.Quantile != 0:
		p.add(field+"quantile", "only latency_ms has a quantile")
	case rule.Metric == LatencyMS && !within(rule.Quantile, 0, 1):
		p.add(field+"quantile", "%v is not between 0 and 1", rule.Quantile)
	}
	return true
}

func (p *problems) checkThreshold(field string, rule Rule) {
	limit := rule.Threshold
	switch rule.Metric {
	case ErrorRate:
		if !within(limit, 0, 1) {
			p.add(field, "%v is not between 0 and 1", limit)
		}
	case LatencyMS:
		if !within(limit, 0, math.Inf(1)) {
			p.add(field, "%v is not a number of milliseconds above 0", limit)
		}
	case Accuracy:
		if limit != 1 && !within(limit, accuracyMargin, 1) {
			p.add(field, "%v is not above %v and at most 1", limit, accuracyMargin)
		}
	}
}

// within is false for NaN.
func within(x, above, below float64) bool { return x > above && x < below }

// fittingOp is empty for a metric that nobody knows.
func fittingOp(metric Metric) string {
	switch metric {
	case ErrorRate, LatencyMS:
		return AtMost
	case Accuracy:
		return AtLeast
	default:
		return ""
	}
}

func orDefault[T comparable](given, otherwise T) T {
	var none T
	if given == none {
		return otherwise
	}
	return given
}
