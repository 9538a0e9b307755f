package rollout_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/rollout"
)

// TestScenarios walks the rollouts of testdata/canary.txt; `go test ./rollout -rewrite` writes them anew.
func TestScenarios(t *testing.T) {
	t.Parallel()
	datadriven.RunTest(t, "testdata/canary.txt", func() func(t *testing.T, d *datadriven.TestData) string {
		var plan rollout.Plan
		var state rollout.State
		return func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			if d.Cmd == "given" {
				var strategy rollout.Strategy
				require.NoError(t, json.Unmarshal([]byte(d.Input), &strategy.Canary))
				var err error
				plan, err = rollout.NewPlan(strategy)
				require.NoError(t, err)
				state = rollout.State{}
				return "begun: " + step(plan, &state, rollout.Begun{})
			}
			var lines []string
			for line := range strings.Lines(d.Input) {
				lines = append(lines, step(plan, &state, parseEvent(t, strings.TrimSpace(line))))
			}
			return strings.Join(lines, "")
		}
	}())
}

// parseEvent reads "after 40s passed", "after 1h0m0s blind", "promote by ann", "abort by ann: too slow".
func parseEvent(t *testing.T, line string) rollout.Event {
	t.Helper()
	words := strings.Fields(line)
	if words[0] == "begin" {
		return rollout.Begun{}
	}
	if words[0] == "after" {
		held, err := time.ParseDuration(words[1])
		require.NoError(t, err)
		return rollout.Observed{Held: held, Assessment: assessments()[words[2]]}
	}
	said, reason, _ := strings.Cut(line, ": ")
	message, by, _ := strings.Cut(said, " by ")
	return rollout.Told{Message: rollout.Message(message), By: by, Reason: reason}
}

func assessments() map[string]rollout.Assessment {
	return map[string]rollout.Assessment{
		"passed": {Verdict: rollout.Passed, Reason: "accepted", Looked: true},
		"failed": {Verdict: rollout.Failed, Reason: "accuracy: 9 of 30 wrong", Looked: true},
		"open":   {Verdict: rollout.Inconclusive, Reason: "12 more labels needed", Looked: true},
		"blind":  {Verdict: rollout.Inconclusive, Reason: "no samples"},
		"lost":   {}, // the metrics could not be reached
	}
}

func step(plan rollout.Plan, state *rollout.State, event rollout.Event) string {
	next, action, err := plan.Next(*state, event)
	*state = next
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	text := string(action.Move)
	if action.Move == rollout.Shift {
		text += fmt.Sprintf(" to step %d, %d %%", action.Step, action.Weight)
	}
	if action.For > 0 {
		text += " for " + action.For.String()
	}
	return text + " (" + action.Reason + ")\n"
}

// TestEveryWalkIsSane draws strategies and what happens to them.
func TestEveryWalkIsSane(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		strategy := drawStrategy(t)
		plan, err := rollout.NewPlan(strategy)
		require.NoError(t, err)
		state, action, err := plan.Next(rollout.State{}, rollout.Begun{})
		require.NoError(t, err)
		require.Equal(t, rollout.Action{Move: rollout.Shift, Step: 1, Weight: strategy.Canary.Steps[0].Weight, Reason: "begun"}, action)
		var held time.Duration
		for range 40 {
			held += time.Duration(rapid.Int64Range(0, int64(30*time.Minute)).Draw(t, "later"))
			event := drawEvent(t, held)
			next, action, err := plan.Next(state, event)
			if err != nil {
				var refused *rollout.Refused
				require.ErrorAs(t, err, &refused)
				require.Equal(t, state, next)
				require.NotEmpty(t, state.Ended, "only the end refuses what is drawn here")
				continue
			}
			require.Empty(t, state.Ended)
			checkMove(t, strategy, state, next, action, event)
			state = next
			if action.Move == rollout.Shift {
				held = 0
			}
		}
		// However it stands, a person ends it at once.
		if state.Ended == "" {
			state, _, err = plan.Next(state, rollout.Told{Message: rollout.Abort})
			require.NoError(t, err)
		}
		require.NotEmpty(t, state.Ended)
		require.Empty(t, plan.Allowed(state))
	})
}

func checkMove(
	t require.TestingT, strategy rollout.Strategy, before, after rollout.State, action rollout.Action, event rollout.Event,
) {
	observed, numbers := event.(rollout.Observed)
	switch action.Move {
	case rollout.Hold, rollout.WaitForPerson:
		require.Equal(t, before.Step, after.Step)
		require.Equal(t, action.Move == rollout.WaitForPerson, after.Waiting)
	case rollout.Shift:
		require.Equal(t, before.Step+1, after.Step, "steps come one by one")
		require.Greater(t, action.Weight, strategy.Canary.Steps[before.Step-1].Weight)
	case rollout.Promote:
		require.Equal(t, rollout.Promote, after.Ended)
		if numbers {
			require.Equal(t, len(strategy.Canary.Steps), before.Step, "numbers promote from the last step only")
			require.True(t, observed.Assessment.Looked, "never on nothing")
		}
	case rollout.RollBack:
		require.Equal(t, rollout.RollBack, after.Ended)
	}
	if numbers && observed.Assessment.Verdict == rollout.Failed {
		require.Equal(t, rollout.RollBack, action.Move)
	}
	if numbers && action.Move != rollout.RollBack && observed.Held < hold(t, strategy, before.Step) {
		require.Equal(t, rollout.Hold, action.Move, "the hold is a minimum")
	}
}

func hold(t require.TestingT, strategy rollout.Strategy, step int) time.Duration {
	held, err := time.ParseDuration(strategy.Canary.Steps[step-1].Hold)
	require.NoError(t, err)
	return held
}

func drawStrategy(t *rapid.T) rollout.Strategy {
	weights := rapid.SliceOfNDistinct(rapid.IntRange(1, 100), 1, 4, rapid.ID[int]).Draw(t, "weights")
	var steps []rollout.Step
	for weight := range 101 {
		for _, wanted := range weights {
			if weight == wanted {
				steps = append(steps, rollout.Step{Weight: weight, Hold: rapid.SampledFrom([]string{"0s", "10s", "1m"}).Draw(t, "hold")})
			}
		}
	}
	return rollout.Strategy{Canary: rollout.Canary{
		Steps:   steps,
		MaxHold: rapid.SampledFrom([]string{"1m", "1h"}).Draw(t, "max_hold"),
		OnInconclusive: rapid.SampledFrom([]rollout.OnInconclusive{
			rollout.OnInconclusivePause, rollout.OnInconclusiveContinue, rollout.OnInconclusiveRollBack,
		}).Draw(t, "on_inconclusive"),
	}}.WithDefaults()
}

func drawEvent(t *rapid.T, held time.Duration) rollout.Event {
	if rapid.IntRange(0, 19).Draw(t, "message") == 0 {
		message := rapid.SampledFrom([]rollout.Message{rollout.PromoteStep, rollout.PromoteFull, rollout.Abort})
		return rollout.Told{Message: message.Draw(t, "said")}
	}
	kind := rapid.SampledFrom([]string{"passed", "open", "open", "blind", "blind", "lost", "failed"}).Draw(t, "verdict")
	return rollout.Observed{Held: held, Assessment: assessments()[kind]}
}

// TestPollingEndsOrAsks: with real numbers and the clock running, every rollout ends or waits for a person.
func TestPollingEndsOrAsks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		strategy := drawStrategy(t)
		plan, err := rollout.NewPlan(strategy)
		require.NoError(t, err)
		analysis := rollout.NewAnalysis(strategy)
		tally := analysis.Begin()
		state, _, err := plan.Next(rollout.State{}, rollout.Begun{})
		require.NoError(t, err)
		perTick, period := rapid.IntRange(0, 5).Draw(t, "requests"), rapid.IntRange(1, 200).Draw(t, "period")
		var held time.Duration
		polls := 0
		for state.Ended == "" && !state.Waiting {
			polls++
			require.Less(t, polls, 4*3600/5+10, "four steps of at most an hour, one poll in 5 s")
			held += 5 * time.Second
			for i := range perTick {
				analysis.Answer(&tally, rollout.Answer{Errored: (polls*perTick+i)%period == 0})
			}
			next, action, err := plan.Next(state, rollout.Observed{Held: held, Assessment: analysis.Assess(tally)})
			require.NoError(t, err)
			if action.Move == rollout.Shift {
				held = 0
			}
			state = next
		}
		if state.Ended == rollout.Promote {
			require.True(t, analysis.Assess(tally).Looked)
			require.GreaterOrEqual(t, tally.Requests, int64(rollout.WarmUp+rollout.FirstLook))
		}
	})
}

func TestALongestHoldDoesNotOverflow(t *testing.T) {
	t.Parallel()
	plan, err := rollout.NewPlan(rollout.Default())
	require.NoError(t, err)
	_, action, err := plan.Next(rollout.State{Step: 1}, rollout.Observed{Held: math.MaxInt64})
	require.NoError(t, err)
	require.Equal(t, rollout.WaitForPerson, action.Move)
	require.Contains(t, action.Reason, "inconclusive after 1h0m0s: no metric could be read")
}
