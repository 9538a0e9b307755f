package rollout_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/rollout"
)

// sample is one drawn observation: an answer, or a label.
type sample struct{ IsLabel, Bad, Slow bool }

func samples(t *rapid.T) []sample {
	bad := rapid.SampledFrom([]int{0, 1, 5, 50}).Draw(t, "bad percent")
	one := rapid.Custom(func(t *rapid.T) sample {
		return sample{
			IsLabel: rapid.Bool().Draw(t, "label"),
			Bad:     rapid.IntRange(0, 99).Draw(t, "bad") < bad,
			Slow:    rapid.IntRange(0, 99).Draw(t, "slow") < bad,
		}
	})
	block := rapid.SliceOfN(one, 0, 60).Draw(t, "block")
	return slices.Repeat(block, rapid.IntRange(1, 30).Draw(t, "times"))
}

func fold(a rollout.Analysis, tally *rollout.Tally, observed []sample) {
	for _, s := range observed {
		switch {
		case s.IsLabel:
			a.Label(tally, !s.Bad)
		case s.Slow:
			a.Answer(tally, rollout.Answer{Errored: s.Bad, LatencyMS: 80})
		default:
			a.Answer(tally, rollout.Answer{Errored: s.Bad, LatencyMS: 5})
		}
	}
}

func threeRules() rollout.Analysis {
	return analysisOf(errorRate(0.05), latency(50, 0.9), accuracy(0.8))
}

func TestBatchingChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		analysis, observed := threeRules(), samples(t)
		atOnce := analysis.Begin()
		fold(analysis, &atOnce, observed)

		batched := analysis.Begin()
		for rest := observed; len(rest) > 0; {
			size := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			fold(analysis, &batched, rest[:size])
			rest = rest[size:]
			batched = stored(t, batched)
		}
		require.Equal(t, analysis.Assess(atOnce), analysis.Assess(batched))
	})
}

// stored is the tally after a way through JSON.
func stored(t require.TestingT, tally rollout.Tally) (again rollout.Tally) {
	text, err := json.Marshal(tally)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &again))
	return again
}

func TestFailureIsFinal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		analysis := threeRules()
		tally := analysis.Begin()
		fold(analysis, &tally, samples(t))
		before := analysis.Assess(tally)
		fold(analysis, &tally, slices.Repeat([]sample{{}, {IsLabel: true}}, 2000))
		after := analysis.Assess(tally)
		if before.Verdict == rollout.Failed {
			require.Equal(t, rollout.Failed, after.Verdict)
		}
		for i, metric := range before.Metrics {
			if metric.Verdict == rollout.Failed && metric.Test != rollout.RunLength {
				require.Equal(t, metric, after.Metrics[i], "the numbers are those that decided")
			}
			if metric.Verdict == rollout.Passed {
				require.Equal(t, rollout.Passed, after.Metrics[i].Verdict, "good samples keep an acceptance")
			}
		}
	})
}

func TestMoreBadSamplesNeverHelp(t *testing.T) {
	t.Parallel()
	rank := map[rollout.Verdict]int{rollout.Failed: 0, rollout.Inconclusive: 1, rollout.Passed: 2}
	for name, worsen := range map[string]func(*sample){
		"errors and wrong labels": func(s *sample) { s.Bad = true },
		"slow answers":            func(s *sample) { s.Slow = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				// An error that was a quick answer is no sample of latency: there the two would mix.
				analysis := analysisOf(errorRate(0.05), accuracy(0.8))
				if name == "slow answers" {
					analysis = threeRules()
				}
				observed := samples(t)
				if len(observed) == 0 {
					return
				}
				worse := slices.Clone(observed)
				for _, i := range rapid.SliceOf(rapid.IntRange(0, len(worse)-1)).Draw(t, "worsened") {
					worsen(&worse[i])
				}
				one, other := analysis.Begin(), analysis.Begin()
				fold(analysis, &one, observed)
				fold(analysis, &other, worse)
				require.LessOrEqual(t, rank[analysis.Assess(other).Verdict], rank[analysis.Assess(one).Verdict])
			})
		})
	}
}

func TestNothingPassesOnNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := []rollout.Rule{errorRate(0.2), latency(50, 0.5), accuracy(0.5)}
		for i := range rules {
			rules[i].Required = rapid.Bool().Draw(t, "required")
		}
		analysis := analysisOf(rules...)
		tally := analysis.Begin()
		fold(analysis, &tally, samples(t))
		assessment := analysis.Assess(tally)
		if assessment.Verdict != rollout.Passed {
			return
		}
		require.True(t, assessment.Looked)
		for _, metric := range assessment.Metrics {
			if metric.Required {
				require.Equal(t, rollout.Passed, metric.Verdict)
				require.GreaterOrEqual(t, metric.Samples, int64(rollout.FirstLook))
			}
		}
	})
	require.Equal(t, rollout.Inconclusive, threeRules().Assess(threeRules().Begin()).Verdict)
}

func TestFiveErrorsInARowAbort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule rollout.Rule
		run  int
	}{
		"from the first request on":      {errorRate(0.01), 5},
		"without an error_rate rule too": {accuracy(0.9), 5},
		"more where 20 % are allowed":    {errorRate(0.2), 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysis := analysisOf(c.rule)
			tally := analysis.Begin()
			for range c.run - 1 {
				analysis.Answer(&tally, rollout.Answer{Errored: true})
			}
			interrupted := stored(t, tally)
			analysis.Answer(&interrupted, rollout.Answer{})
			analysis.Answer(&interrupted, rollout.Answer{Errored: true})
			require.Equal(t, rollout.Inconclusive, analysis.Assess(interrupted).Verdict)

			analysis.Answer(&tally, rollout.Answer{Errored: true})
			assessment := analysis.Assess(tally)
			require.Equal(t, rollout.Failed, assessment.Verdict)
			require.Contains(t, assessment.Reason, "requests failed in a row")
		})
	}
}

func TestWarmUpCountsForNothingElse(t *testing.T) {
	t.Parallel()
	analysis := analysisOf(errorRate(0.01), latency(50, 0.99), accuracy(0.9))
	tally := analysis.Begin()
	for i := range rollout.WarmUp {
		labelCounts := analysis.Answer(&tally, rollout.Answer{Errored: i%2 == 0, LatencyMS: 900})
		require.False(t, labelCounts)
	}
	for _, metric := range analysis.Assess(tally).Metrics {
		require.Zero(t, metric.Samples)
		require.Nil(t, metric.Estimate)
	}
	require.True(t, analysis.Answer(&tally, rollout.Answer{LatencyMS: 3}))
	require.False(t, analysis.Answer(&tally, rollout.Answer{Errored: true}), "an error has no prediction to judge")
}

func TestWhatLatencyCounts(t *testing.T) {
	t.Parallel()
	analysis := analysisOf(latency(50, 0.99))
	for name, c := range map[string]struct {
		answer         rollout.Answer
		samples, slow  int64
		whyNotTheOther string
	}{
		"at the limit": {rollout.Answer{LatencyMS: 50}, 1, 0, "the limit is allowed"},
		"slower":       {rollout.Answer{LatencyMS: 50.1}, 1, 1, ""},
		"timeout":      {rollout.Answer{Errored: true, LatencyMS: 30_000}, 1, 1, "must not vanish"},
		"quick error":  {rollout.Answer{Errored: true, LatencyMS: 1}, 0, 0, "must not look quick"},
		"unknown":      {rollout.Answer{LatencyMS: math.NaN()}, 0, 0, "nothing is known"},
		"infinite":     {rollout.Answer{LatencyMS: math.Inf(1)}, 1, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tally := warmedUp(analysis)
			analysis.Answer(&tally, c.answer)
			metric := analysis.Assess(tally).Metrics[0]
			require.Equal(t, c.samples, metric.Samples, c.whyNotTheOther)
			require.Equal(t, c.slow, metric.Failures, c.whyNotTheOther)
		})
	}
}

// TestCollapseAfterAcceptance: a long good history does not hide a collapse, and the guard says so.
func TestCollapseAfterAcceptance(t *testing.T) {
	t.Parallel()
	analysis := analysisOf(errorRate(0.01))
	tally := warmedUp(analysis)
	for range 5000 {
		analysis.Answer(&tally, rollout.Answer{})
	}
	require.Equal(t, rollout.Passed, analysis.Assess(tally).Verdict)
	collapsed := 0
	for analysis.Assess(tally).Verdict != rollout.Failed {
		collapsed++
		analysis.Answer(&tally, rollout.Answer{Errored: collapsed%2 == 0})
	}
	require.Equal(t, 44, collapsed)
	assessment := analysis.Assess(tally)
	require.Equal(t, rollout.CUSUM, assessment.Metrics[0].Test)
	require.GreaterOrEqual(t, assessment.Metrics[0].Statistic, assessment.Metrics[0].Upper)
	require.Contains(t, assessment.Reason, "22 of 5044 requests failed, of the latest 43 22")
}
