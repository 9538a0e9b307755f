package rollout_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/rollout"
)

func labelledEvidence() *rollout.Evidence {
	strategy := rollout.Strategy{Canary: rollout.Canary{Analysis: []rollout.Rule{accuracy(0.9)}}}
	evidence := rollout.NewEvidence(strategy.WithDefaults())
	for i := range rollout.WarmUp {
		evidence.Answered("warm"+strconv.Itoa(i), "7", rollout.Answer{})
	}
	return evidence
}

func TestLabelsMeetTheirAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log            func(e *rollout.Evidence)
		samples, wrong int64
	}{
		"right": {func(e *rollout.Evidence) { e.Answered("a", "7", rollout.Answer{}); e.Labelled("a", "7") }, 1, 0},
		"wrong": {func(e *rollout.Evidence) { e.Answered("a", "7", rollout.Answer{}); e.Labelled("a", "1") }, 1, 1},
		"before its answer": {
			func(e *rollout.Evidence) { e.Labelled("a", "1"); e.Answered("a", "7", rollout.Answer{}) }, 1, 1,
		},
		"twice: the first counts": {
			func(e *rollout.Evidence) {
				e.Answered("a", "7", rollout.Answer{})
				e.Labelled("a", "7")
				e.Labelled("a", "1")
			}, 1, 0,
		},
		"twice before its answer": {
			func(e *rollout.Evidence) {
				e.Labelled("a", "7")
				e.Labelled("a", "1")
				e.Answered("a", "7", rollout.Answer{})
			}, 1, 0,
		},
		"of a warm-up request": {func(e *rollout.Evidence) { e.Labelled("warm3", "1") }, 0, 0},
		"of the champion":      {func(e *rollout.Evidence) { e.Labelled("other", "1") }, 0, 0},
		"of an error": {
			func(e *rollout.Evidence) { e.Answered("a", "7", rollout.Answer{Errored: true}); e.Labelled("a", "7") }, 0, 0,
		},
		"of a prediction not captured": {
			func(e *rollout.Evidence) { e.Answered("a", "", rollout.Answer{}); e.Labelled("a", "7") }, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evidence := labelledEvidence()
			c.log(evidence)
			metric := evidence.Assess().Metrics[0]
			require.Equal(t, c.samples, metric.Samples)
			require.Equal(t, c.wrong, metric.Failures)
		})
	}
}

func TestEarlyLabelsAreBounded(t *testing.T) {
	t.Parallel()
	evidence := labelledEvidence()
	for i := range 10_001 {
		evidence.Labelled(strconv.Itoa(i), "7")
	}
	evidence.Answered("0", "7", rollout.Answer{})
	require.Zero(t, evidence.Tally().Counts[0].Samples, "the oldest was given up")
	evidence.Answered("1", "7", rollout.Answer{})
	require.EqualValues(t, 1, evidence.Tally().Counts[0].Samples)
}

// A canary of days without labels keeps a fair sample of its answers, and no more: late labels of some are
// judged, whether their answers are old or new.
func TestAnswersWithoutALabelAreBounded(t *testing.T) {
	t.Parallel()
	const answers = 400_000
	evidence := labelledEvidence()
	for i := range answers {
		evidence.Answered(strconv.Itoa(i), "7", rollout.Answer{})
	}
	judged := func(from, to int) int64 {
		before := evidence.Tally().Counts[0].Samples
		for i := from; i < to; i++ {
			evidence.Labelled(strconv.Itoa(i), "7")
		}
		return evidence.Tally().Counts[0].Samples - before
	}
	old, late := judged(0, answers/2), judged(answers/2, answers)
	require.LessOrEqual(t, old+late, int64(100_000))
	require.Greater(t, old+late, int64(45_000))
	require.InEpsilon(t, old, late, 0.05)
}

func TestWithoutAnAccuracyRuleLabelsAreNotKept(t *testing.T) {
	t.Parallel()
	evidence := rollout.NewEvidence(rollout.Default())
	for i := range 400 {
		evidence.Labelled(strconv.Itoa(i), "7")
		evidence.Answered(strconv.Itoa(i), "1", rollout.Answer{})
	}
	require.Equal(t, rollout.Passed, evidence.Assess().Verdict)
}
