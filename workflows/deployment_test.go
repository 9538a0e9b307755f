package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/workflows"
)

func TestDeployModelGivesAnEmptyTargetAllTraffic(t *testing.T) {
	t.Parallel()
	w := newTown(t, 1)
	st := newDeployStage(t, w)
	result, err := st.deploy(deployDigits("1", input{"requested_by": "on-call"}))
	require.NoError(t, err)
	require.Equal(t, []string{"RolloutStarted", "RolloutPromoted", "ModelDeployed 1"}, st.story())
	recorded, promoted := last[domain.RolloutPromoted](w.books)
	require.Equal(t, "initial", promoted.Reason)
	require.Equal(t, "on-call", recorded.Metadata.Actor.Subject)
	require.Equal(t, workflows.DeployModelResult{
		Outcome: "promoted", Initial: true, Version: "1", Reason: "initial", Verdicts: []domain.RolloutAssessed{},
		RolloutID: promoted.RolloutID, Position: recorded.Position + 1,
	}, result)
	require.Equal(t, []string{
		"load default.digits.v1", "ready default.digits.v1", "signature default.digits.v1", "golden default.digits.v1",
	}, w.server.calls)
	require.Equal(t, "promoted", st.status().Stage)
	require.Equal(t, map[string]workflows.StepState{
		"verify": "done", "start": "done", "approval": "skipped", "load": "done", "canary_1": "skipped",
		"canary_2": "skipped", "promote": "done", "unload": "skipped",
	}, st.states())
}

func TestDeployModelPromotesAGoodCandidate(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 120, 0, 0)
	st := newDeployStage(t, w)
	result, err := st.deploy(deployDigits("2", nil))
	require.NoError(t, err)
	require.Equal(t, []string{
		"RolloutStarted", "TrafficShifted 1:90 2:10", "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50",
		"RolloutAssessed 2 passed", "RolloutPromoted", "ModelDeployed 2",
	}, st.story())
	require.Equal(t, "promoted", result.Outcome)
	require.False(t, result.Initial)
	require.Equal(t, domain.Version("1"), result.Previous)
	require.Len(t, result.Verdicts, 2)
	require.Equal(t, int64(220), result.Verdicts[1].Metrics[0].Samples, "cumulative, after 20 of warm-up")
	require.Equal(t, []string{"default.digits.v2"}, w.server.serves())
}

func TestDeployModelRollsABadCandidateBack(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 120, 0, 60)
	st := newDeployStage(t, w)
	result, err := st.deploy(deployDigits("2", nil))
	require.NoError(t, err)
	require.Equal(t, []string{
		"RolloutStarted", "TrafficShifted 1:90 2:10", "RolloutAssessed 1 failed", "TrafficShifted 1:100",
		"RolloutRolledBack to 1",
	}, st.story())
	require.Equal(t, "rolled_back", result.Outcome)
	require.Contains(t, result.Reason, "labelled answers were wrong")
	require.Len(t, result.Verdicts, 1)
	_, back := last[domain.RolloutRolledBack](w.books)
	require.Equal(t, result.Reason, back.Reason)
	require.Equal(t, []string{"default.digits.v1"}, w.server.serves())
}
