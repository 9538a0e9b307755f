package rollout_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/rollout"
)

func TestDefaultStrategy(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(rollout.Default())
	require.NoError(t, err)
	require.JSONEq(t, `{"canary":{"steps":[{"weight":10,"hold":"30s"},{"weight":50,"hold":"30s"}],
		"max_hold":"1h","on_inconclusive":"pause",
		"analysis":[{"metric":"error_rate","op":"<=","threshold":0.01,"required":true}]}}`, string(text))
	require.NoError(t, rollout.Default().Validate())
}

func TestDefaultsKeepWhatIsGiven(t *testing.T) {
	t.Parallel()
	var given rollout.Strategy
	require.NoError(t, json.Unmarshal([]byte(`{"canary":{"steps":[{"weight":25}],"on_inconclusive":"rollback",
		"analysis":[{"metric":"latency_ms","threshold":50},{"metric":"accuracy","threshold":0.9,"required":true}]}}`), &given))
	filled := given.WithDefaults()
	require.NoError(t, filled.Validate())
	require.Equal(t, rollout.Canary{
		Steps: []rollout.Step{{Weight: 25, Hold: "30s"}}, MaxHold: "1h", OnInconclusive: rollout.OnInconclusiveRollBack,
		Analysis: []rollout.Rule{
			{Metric: rollout.LatencyMS, Op: "<=", Threshold: 50, Quantile: 0.99},
			{Metric: rollout.Accuracy, Op: ">=", Threshold: 0.9, Required: true},
		},
	}, filled.Canary)
	require.Empty(t, given.Canary.Analysis[0].Op, "the given strategy is left alone")
	require.Empty(t, given.Canary.Steps[0].Hold)
}

func TestValidateNamesTheField(t *testing.T) {
	t.Parallel()
	rule := func(r rollout.Rule) func(*rollout.Canary) {
		return func(c *rollout.Canary) { c.Analysis = []rollout.Rule{r} }
	}
	steps := func(all ...rollout.Step) func(*rollout.Canary) {
		return func(c *rollout.Canary) { c.Steps = all }
	}
	for want, spoil := range map[string]func(*rollout.Canary){
		`steps[0].weight: 0 is not a percentage from 1 to 100`:             steps(rollout.Step{Weight: 0}),
		`steps[1].weight: 101 is not a percentage from 1 to 100`:           steps(rollout.Step{Weight: 10}, rollout.Step{Weight: 101}),
		`steps[1].weight: 10 is not above the step before, 10`:             steps(rollout.Step{Weight: 10}, rollout.Step{Weight: 10}),
		`steps[0].hold: "soon" is not a duration like 30s, 5m or 1h`:       steps(rollout.Step{Weight: 10, Hold: "soon"}),
		`steps[0].hold: -1s is negative`:                                   steps(rollout.Step{Weight: 10, Hold: "-1s"}),
		`steps[0].hold: 2h is longer than max_hold, 1h0m0s`:                steps(rollout.Step{Weight: 10, Hold: "2h"}),
		`max_hold: "1 hour" is not a duration like 30s, 5m or 1h`:          func(c *rollout.Canary) { c.MaxHold = "1 hour" },
		`on_inconclusive: "wait" is none of pause, continue, rollback`:     func(c *rollout.Canary) { c.OnInconclusive = "wait" },
		`analysis[0].metric: "cpu" is none of error_rate, latency_ms, acc`: rule(rollout.Rule{Metric: "cpu", Op: "<", Threshold: -1}),
		`analysis[0].op: "<" is neither <= nor >=`:                         rule(rollout.Rule{Metric: rollout.ErrorRate, Op: "<", Threshold: 0.1}),
		`analysis[0].op: accuracy takes >=, not <=`:                        rule(rollout.Rule{Metric: rollout.Accuracy, Op: "<=", Threshold: 0.9}),
		`analysis[0].threshold: 0 is not between 0 and 1`:                  rule(rollout.Rule{Metric: rollout.ErrorRate}),
		`analysis[0].threshold: NaN is not between 0 and 1`:                rule(errorRate(math.NaN())),
		`analysis[0].threshold: +Inf is not a number of milliseconds abov`: rule(latency(math.Inf(1), 0.5)),
		`analysis[0].threshold: 0.05 is not above 0.05 and at most 1`:      rule(accuracy(0.05)),
		`analysis[0].threshold: 1.01 is not above 0.05 and at most 1`:      rule(accuracy(1.01)),
		`analysis[0].quantile: 99 is not between 0 and 1`:                  rule(latency(50, 99)),
		`analysis[0].quantile: only latency_ms has a quantile`:             rule(rollout.Rule{Metric: rollout.Accuracy, Threshold: 0.9, Quantile: 0.5}),
		`analysis[1].metric: accuracy has a rule already, analysis[0]`: func(c *rollout.Canary) {
			c.Analysis = []rollout.Rule{accuracy(0.9), accuracy(0.8)}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			strategy := rollout.Default()
			spoil(&strategy.Canary)
			err := strategy.WithDefaults().Validate()
			require.ErrorContains(t, err, "strategy.canary."+want)
			require.Len(t, strings.Split(err.Error(), "\n"), 1, "one fault, one line")
			var invalid *rollout.Invalid
			require.ErrorAs(t, err, &invalid)
			field, _, _ := strings.Cut(want, ": ")
			require.Equal(t, "strategy.canary."+field, invalid.Field)
		})
	}
}

func TestValidateListsEverything(t *testing.T) {
	t.Parallel()
	err := rollout.Strategy{}.Validate()
	for _, field := range []string{"steps", "max_hold", "on_inconclusive", "analysis"} {
		require.ErrorContains(t, err, "strategy.canary."+field+": ")
	}
	_, err = rollout.NewPlan(rollout.Strategy{Canary: rollout.Canary{MaxHold: "x"}})
	require.ErrorContains(t, err, "max_hold")
}
