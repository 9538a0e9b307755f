package rollout

import "math"

const (
	// WarmUp is how many first requests of a candidate count for nothing but a run of errors: caches
	// are cold, connections new. A label of a warm-up request does not count either.
	WarmUp = 20
	// FirstLook is the least number of samples of a metric before its test may decide.
	FirstLook = 30
	// ErrorRun is how many errors in a row fail a candidate at once, from its first request on. Where
	// an error_rate rule allows more than 2.5 %, it takes more.
	ErrorRun = 5
)

// Analysis holds the tests of a strategy's rules. It is read-only.
type Analysis struct {
	rules    []Rule
	tests    []sprt
	abortRun int64
}

// NewAnalysis makes the tests of a strategy that was validated. α is split evenly over the rules
// (Bonferroni).
func NewAnalysis(s Strategy) Analysis {
	rules := s.Canary.Analysis
	analysis := Analysis{rules: rules, abortRun: abortRun(rules)}
	for _, rule := range rules {
		analysis.tests = append(analysis.tests, newSPRT(rule, len(rules)))
	}
	return analysis
}

// Tally is what was counted of a candidate, cumulative over the rollout. It holds integers only, so it
// survives JSON without a rounding. It belongs to the analysis that began it.
type Tally struct {
	Requests int64   `json:"requests"`  // of the candidate, warm-up included
	ErrorRun int64   `json:"error_run"` // the latest requests that failed one after the other
	Aborted  bool    `json:"aborted,omitempty"`
	Counts   []Count `json:"counts"` // one for each rule, in the rules' order
}

// Count is the state of one rule's test. When the test has failed nothing is counted any more: the
// numbers are those that decided.
type Count struct {
	Samples  int64 `json:"samples"`
	Failures int64 `json:"failures"`
	// GuardSamples and GuardFailures count since the guard last stood at zero.
	GuardSamples  int64 `json:"guard_samples"`
	GuardFailures int64 `json:"guard_failures"`
	AcceptedAt    int64 `json:"accepted_at,omitempty"` // samples at acceptance
	Failed        Test  `json:"failed,omitempty"`      // the test that failed it
}

// Test names how a metric was decided.
type Test string

// The tests. A metric that is open or accepted is the SPRT's.
const (
	SPRT      Test = "sprt"      // Wald's sequential probability ratio test
	CUSUM     Test = "cusum"     // Page's cumulative sum, the guard against a later collapse
	RunLength Test = "error_run" // errors in a row
)

// Answer is one request that the candidate got.
type Answer struct {
	// Errored says that it was not answered through the candidate's fault. A request that the client
	// got wrong is no observation at all: leave it out.
	Errored   bool
	LatencyMS float64 // NaN when unknown
}

// Begin returns an empty tally.
func (a Analysis) Begin() Tally { return Tally{Counts: make([]Count, len(a.tests))} }

// Answer counts one request, in log order. It returns whether its label counts, too: not for a warm-up
// request and not for one that errored.
//
// Latency counts answers; of the errors only those slower than the limit, as slow ones: a quick error
// must not look like a quick answer, nor a timeout vanish.
func (a Analysis) Answer(t *Tally, answer Answer) (labelCounts bool) {
	t.Requests++
	t.ErrorRun++
	if !answer.Errored {
		t.ErrorRun = 0
	}
	if t.ErrorRun >= a.abortRun {
		t.Aborted = true
	}
	if t.Requests <= WarmUp {
		return false
	}
	for i, rule := range a.rules {
		switch rule.Metric {
		case ErrorRate:
			a.tests[i].count(&t.Counts[i], answer.Errored)
		case LatencyMS:
			slow := answer.LatencyMS > rule.Threshold
			if slow || !answer.Errored && !math.IsNaN(answer.LatencyMS) {
				a.tests[i].count(&t.Counts[i], slow)
			}
		case Accuracy:
		}
	}
	return !answer.Errored
}

// Label counts one label of an answer whose label counts, in log order.
func (a Analysis) Label(t *Tally, right bool) {
	for i, rule := range a.rules {
		if rule.Metric == Accuracy {
			a.tests[i].count(&t.Counts[i], !right)
		}
	}
}

// count adds a sample and looks at the test. A failure ends it; an acceptance stands, unless the test
// fails later.
func (t sprt) count(c *Count, bad bool) {
	if c.Failed != "" {
		return
	}
	c.Samples++
	c.GuardSamples++
	if bad {
		c.Failures++
		c.GuardFailures++
	}
	guard := t.ratio(c.GuardSamples, c.GuardFailures)
	if guard < 0 {
		c.GuardSamples, c.GuardFailures = 0, 0
	}
	if c.Samples < FirstLook {
		return
	}
	statistic := t.ratio(c.Samples, c.Failures)
	switch {
	case statistic >= t.upper:
		c.Failed = SPRT
	case guard >= t.least && guard >= t.guard(c.Samples): // the first spares most samples a logarithm
		c.Failed = CUSUM
	case statistic <= t.lower && c.AcceptedAt == 0:
		c.AcceptedAt = c.Samples
	}
}
