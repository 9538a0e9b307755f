package rollout

import "math"

const (
	falseRollback  = 0.01 // α, of a whole rollout
	falsePass      = 0.05 // β, of one metric
	accuracyMargin = 0.05
	// rarest keeps a hypothesis off 0 and 1, where a log likelihood is infinite: at accuracy 1 one
	// wrong answer still decides.
	rarest = 1e-6
)

// sprt is Wald's sequential probability ratio test of one rule, with Page's cumulative sum beside it.
//
// Each sample is good or bad. The null hypothesis says that a sample is bad with probability p0 (the
// candidate is as good as its threshold), the alternative says p1 > p0. After n samples of which k are
// bad, the log likelihood ratio is
//
//	S = k ln(p1/p0) + (n−k) ln((1−p1)/(1−p0))
//
// and the test accepts the candidate at S ≤ ln(β/(1−α)), fails it at S ≥ ln((1−β)/α), and goes on in
// between (A. Wald, Sequential Analysis, 1947, chapter 3 and §5.3). A candidate as good as p0 is failed
// with a probability of at most α/(1−β), one as bad as p1 accepted with at most β/(1−α), at any number
// of looks (Wald, §3.2).
//
// A test that has accepted would sleep through a later collapse, and a long good history would hide
// one. So a second statistic restarts at each sample from which on the candidate looks worst:
//
//	G = max(0, G + the sample's log likelihood ratio)
//
// (E. S. Page, Continuous Inspection Schemes, Biometrika 41, 1954). Its bound grows with n, see guard.
// The two share α in halves. Both are monotone: another bad sample in place of a good one lifts them.
type sprt struct {
	metric Metric
	p1     float64
	bad    float64 // ln(p1/p0) > 0
	good   float64 // ln((1−p1)/(1−p0)) < 0
	lower  float64
	upper  float64
	alpha  float64 // of the guard
	least  float64 // the guard's first and lowest bound
}

// newSPRT makes the test of one of so many rules.
func newSPRT(rule Rule, rules int) sprt {
	p0, p1 := hypotheses(rule)
	alpha := falseRollback / float64(rules) / 2
	return sprt{
		metric: rule.Metric,
		p1:     p1,
		bad:    math.Log(p1 / p0),
		good:   math.Log1p(-p1) - math.Log1p(-p0),
		lower:  math.Log(falsePass / (1 - alpha)),
		upper:  math.Log((1 - falsePass) / alpha),
		alpha:  alpha,
		least:  math.Log(2 / alpha),
	}
}

// hypotheses are the shares of bad samples of a candidate as good as the rule, and of one to be caught:
// for accuracy 5 points more, else twice as many. Twice a share above 1/3 would come near 1 or pass it:
// there p1 is halfway to 1.
func hypotheses(rule Rule) (p0, p1 float64) {
	if rule.Metric == Accuracy {
		p0 = max(1-rule.Threshold, rarest)
		return p0, min(p0+accuracyMargin, 1-rarest)
	}
	p0 = rule.Threshold
	if rule.Metric == LatencyMS {
		p0 = 1 - rule.Quantile
	}
	p0 = min(max(p0, rarest), 1-rarest)
	return p0, min(2*p0, (1+p0)/2)
}

// ratio is the log likelihood ratio of so many samples, of which so many were bad.
func (t sprt) ratio(samples, failures int64) float64 {
	return float64(failures)*t.bad + float64(samples-failures)*t.good
}

// guard is the bound of Page's statistic after n samples: ln(j(j+1)/α) in the j-th block of 1/p1 samples.
//
// Why it keeps α for ever: an excursion of G from 0 starts with a bad sample. Under the null one starts
// at a given sample and climbs to h with probability at most p0·(p1/p0)·e^−h = p1·e^−h (Ville's
// inequality for the likelihood ratio). So a block of 1/p1 samples costs at most e^−h, which is
// α/(j(j+1)), and the blocks sum to α.
func (t sprt) guard(samples int64) float64 {
	block := math.Floor(float64(samples)*t.p1) + 1
	return math.Log(block * (block + 1) / t.alpha)
}

// needed is how many more good samples bring an open count to acceptance; 0 when none can, because the
// first look will fail it.
func (t sprt) needed(c Count) int64 {
	more := max(int64(math.Ceil((t.ratio(c.Samples, c.Failures)-t.lower)/-t.good)), FirstLook-c.Samples)
	for t.ratio(c.Samples+more, c.Failures) > t.lower { // a last bit lost in the division
		more++
	}
	for c.Samples < FirstLook {
		t.count(&c, false)
	}
	if c.Failed != "" {
		return 0
	}
	return more
}

// abortRun is how many errors in a row fail a candidate at once: 5, or as many more as it takes to make
// the run unlikely (1e-8) where the rule allows many errors.
func abortRun(rules []Rule) int64 {
	for _, rule := range rules {
		if rule.Metric == ErrorRate {
			return max(ErrorRun, int64(math.Ceil(math.Log(1e-8)/math.Log(rule.Threshold))))
		}
	}
	return ErrorRun
}
