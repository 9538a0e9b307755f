package rollout_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/rollout"
)

func analysisOf(rules ...rollout.Rule) rollout.Analysis {
	strategy := rollout.Strategy{Canary: rollout.Canary{Analysis: rules}}
	return rollout.NewAnalysis(strategy.WithDefaults())
}

func errorRate(threshold float64) rollout.Rule {
	return rollout.Rule{Metric: rollout.ErrorRate, Threshold: threshold, Required: true}
}

func accuracy(threshold float64) rollout.Rule {
	return rollout.Rule{Metric: rollout.Accuracy, Threshold: threshold, Required: true}
}

func latency(limit, quantile float64) rollout.Rule {
	return rollout.Rule{Metric: rollout.LatencyMS, Threshold: limit, Quantile: quantile, Required: true}
}

// warmedUp returns a tally that has its warm-up behind it.
func warmedUp(a rollout.Analysis) rollout.Tally {
	tally := a.Begin()
	for range rollout.WarmUp {
		a.Answer(&tally, rollout.Answer{LatencyMS: 1})
	}
	return tally
}

// TestNeededGoodSamples states the figures that the CLI, the documents and the contract quote.
func TestNeededGoodSamples(t *testing.T) {
	t.Parallel()
	three := []rollout.Rule{errorRate(0.01), latency(50, 0.99), accuracy(0.9)}
	for name, want := range map[string]struct {
		rules  []rollout.Rule
		needed []int64
	}{
		"error_rate 0.01 alone":          {[]rollout.Rule{errorRate(0.01)}, []int64{295}},
		"error_rate 0.05 alone":          {[]rollout.Rule{errorRate(0.05)}, []int64{56}},
		"error_rate 0.2: the first look": {[]rollout.Rule{errorRate(0.2)}, []int64{30}},
		"accuracy 0.9 alone":             {[]rollout.Rule{accuracy(0.9)}, []int64{53}},
		"accuracy 0.95 alone":            {[]rollout.Rule{accuracy(0.95)}, []int64{56}},
		"accuracy 0.5: the first look":   {[]rollout.Rule{accuracy(0.5)}, []int64{30}},
		"the three of the contract":      {three, []int64{295, 295, 53}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysis := analysisOf(want.rules...)
			for i, metric := range analysis.Assess(analysis.Begin()).Metrics {
				require.Equal(t, want.needed[i], metric.Needed, metric.Metric)
			}
		})
	}
}

// TestAccuracyOfAUsualModel: 53 faultless labels accept accuracy 0.9; a model that is right 97 times in
// 100 needs some 70.
func TestAccuracyOfAUsualModel(t *testing.T) {
	t.Parallel()
	const runs = 2000
	analysis, random := analysisOf(accuracy(0.9)), rand.New(rand.NewPCG(1, 1))
	var labels int64
	for range runs {
		tally := analysis.Begin()
		for tally.Counts[0].AcceptedAt == 0 {
			analysis.Label(&tally, random.Float64() < 0.97)
		}
		labels += tally.Counts[0].Samples
	}
	require.InDelta(t, 70, float64(labels)/runs, 2)
}

func TestNumbersByHand(t *testing.T) {
	t.Parallel()
	analysis := analysisOf(errorRate(0.01))
	tally := warmedUp(analysis)
	for i := range 100 {
		analysis.Answer(&tally, rollout.Answer{Errored: i%50 == 0})
	}
	metric := analysis.Assess(tally).Metrics[0]
	require.EqualValues(t, 100, metric.Samples)
	require.EqualValues(t, 2, metric.Failures)
	require.InDelta(t, 0.02, *metric.Estimate, 1e-12)
	require.InDelta(t, 2*math.Ln2+98*math.Log(0.98/0.99), metric.Statistic, 1e-9)
	require.InDelta(t, math.Log(0.05/0.995), metric.Lower, 1e-12)
	require.InDelta(t, math.Log(0.95/0.005), metric.Upper, 1e-12)
}

// TestNeededIsExact: one sample fewer leaves it open.
func TestNeededIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.Float64Range(0.06, 1).Draw(t, "threshold")
		analysis := analysisOf(accuracy(threshold))
		tally := analysis.Begin()
		for _, right := range rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(t, "labels") {
			analysis.Label(&tally, right)
		}
		before := analysis.Assess(tally)
		if before.Verdict != rollout.Inconclusive {
			return
		}
		if before.Metrics[0].Needed == 0 {
			for tally.Counts[0].Samples < rollout.FirstLook {
				analysis.Label(&tally, true)
			}
			require.Equal(t, rollout.Failed, analysis.Assess(tally).Verdict, "doomed before the first look")
			return
		}
		for range before.Metrics[0].Needed - 1 {
			analysis.Label(&tally, true)
		}
		require.Equal(t, rollout.Inconclusive, analysis.Assess(tally).Verdict)
		analysis.Label(&tally, true)
		require.Equal(t, rollout.Passed, analysis.Assess(tally).Verdict)
	})
}

func TestExtremeThresholdsStayFinite(t *testing.T) {
	t.Parallel()
	for _, rule := range []rollout.Rule{
		accuracy(1), accuracy(0.0500001), errorRate(1e-12), errorRate(0.999999), latency(1e-3, 0.5), latency(1, 1e-9),
	} {
		analysis := analysisOf(rule)
		tally := warmedUp(analysis)
		for i := range 200 {
			analysis.Answer(&tally, rollout.Answer{LatencyMS: float64(i % 2)})
			analysis.Label(&tally, true)
		}
		_, err := json.Marshal(analysis.Assess(tally))
		require.NoError(t, err, "JSON takes no infinity and no NaN: %+v", rule)
	}
	analysis := analysisOf(accuracy(1))
	tally := analysis.Begin()
	for i := range 30 {
		analysis.Label(&tally, i != 3)
	}
	require.Equal(t, rollout.Failed, analysis.Assess(tally).Verdict, "one wrong answer where none is allowed")
}

// TestErrorProbabilities bounds both errors of the tests in a seeded Monte Carlo, each rollout looked at
// after every sample. The slack is three standard errors.
func TestErrorProbabilities(t *testing.T) {
	t.Parallel()
	const runs, longest = 500, 5000
	for name, c := range map[string]struct {
		rule   rollout.Rule
		bad    float64 // share of bad samples
		failed [2]float64
		passed [2]float64
	}{
		"half the allowed errors":          {errorRate(0.01), 0.005, [2]float64{0, 0}, [2]float64{1, 1}},
		"just the allowed errors":          {errorRate(0.01), 0.01, [2]float64{0, 0.0103 + 0.0135}, [2]float64{0.96, 1}},
		"twice the allowed errors":         {errorRate(0.01), 0.02, [2]float64{0.91, 1}, [2]float64{0, 0.0503 + 0.0294}},
		"five times the allowed errors":    {errorRate(0.01), 0.05, [2]float64{0.999, 1}, [2]float64{0, 0.001}},
		"just the wanted accuracy":         {accuracy(0.9), 0.1, [2]float64{0, 0.0103 + 0.0135}, [2]float64{0.96, 1}},
		"five points under the accuracy":   {accuracy(0.9), 0.15, [2]float64{0.91, 1}, [2]float64{0, 0.0503 + 0.0294}},
		"thirty points under the accuracy": {accuracy(0.9), 0.4, [2]float64{1, 1}, [2]float64{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysis := analysisOf(c.rule)
			var failed, passed float64
			for run := range uint64(runs) {
				verdict := decide(analysis, rand.New(rand.NewPCG(7, run)), c.bad, longest)
				if verdict.everPassed {
					passed++
				}
				if verdict.failed {
					failed++
				}
			}
			require.GreaterOrEqual(t, failed/runs, c.failed[0])
			require.LessOrEqual(t, failed/runs, c.failed[1])
			require.GreaterOrEqual(t, passed/runs, c.passed[0])
			require.LessOrEqual(t, passed/runs, c.passed[1])
		})
	}
}

type decision struct{ everPassed, failed bool }

// decide feeds one candidate to the end, beyond acceptance, so that the guard is in the figures.
func decide(analysis rollout.Analysis, random *rand.Rand, bad float64, longest int) decision {
	tally := warmedUp(analysis)
	wantsLabels := analysis.Assess(tally).Metrics[0].Metric == rollout.Accuracy
	for range longest {
		isBad := random.Float64() < bad
		if wantsLabels {
			analysis.Label(&tally, !isBad)
		} else {
			analysis.Answer(&tally, rollout.Answer{Errored: isBad})
		}
		if tally.Counts[0].Failed != "" {
			break
		}
	}
	return decision{everPassed: tally.Counts[0].AcceptedAt > 0, failed: tally.Counts[0].Failed != "" || tally.Aborted}
}
