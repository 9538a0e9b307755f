package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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

// An approval lasts for days; its expiry is a rejection, and the rollout is rolled back with that reason.
func TestDeployModelExpires(t *testing.T) {
	t.Parallel()
	w := newTown(t, 1)
	st := newDeployStage(t, w)
	var waiting workflows.Status
	st.after(35*time.Hour, func() { waiting = st.status() })
	result, err := st.deploy(deployDigits("1", input{"approval": input{"timeout": "36h"}}))
	require.NoError(t, err)
	require.Equal(t, workflows.WaitingApproval, *waiting.WaitingFor)
	require.Equal(t, []workflows.Action{"approve", "reject", "cancel"}, waiting.AllowedActions)
	require.Equal(t, "rejected", result.Outcome)
	require.Equal(t, "expired", result.Reason)
	_, back := last[domain.RolloutRolledBack](w.books)
	require.Equal(t, "expired", back.Reason)
	require.Empty(t, w.server.calls, "nothing was loaded")
}

// Every effect has a command id that tells the saga, its first run, the step and the try; a verdict's has
// the inference log's position too.
func TestDeployModelNamesItsCommands(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 200, 0, 0)
	w.fails("StartRollout", answerLost, 1)
	st := newDeployStage(t, w)
	_, err := st.deploy(deployDigits("2", nil))
	require.NoError(t, err)
	var ids []string
	for _, recorded := range w.recorded() {
		if recorded.Position > st.from {
			ids = append(ids, strings.TrimPrefix(recorded.Metadata.CommandID, deploySagaID+"/default-test-run-id/"))
		}
	}
	require.Equal(t, []string{
		"start/1", "canary_1-shift/1", "observe-1/1/400", "canary_2-shift/1", "observe-2/1/800", "promote/1", "promote/1",
	}, ids)
}

// A canary is measured over the whole rollout, and its numbers reach the saga's queries.
func TestDeployModelShowsTheCandidatesNumbers(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 120, 0, 2)
	st := newDeployStage(t, w)
	_, err := st.deploy(deployDigits("2", nil))
	require.NoError(t, err)
	progress := st.progress()
	require.InDelta(t, 240, progress.Metrics["requests"], 0)
	require.InDelta(t, 220, progress.Metrics["accuracy_samples"], 0)
	require.InDelta(t, 216.0/220, progress.Metrics["accuracy"], 1e-9)
	require.Zero(t, progress.Metrics["accuracy_needed"])
	steps := map[string]string{}
	for _, step := range st.status().Steps {
		steps[step.Name] = step.Detail
	}
	require.Contains(t, steps["canary_1"], "every required metric is accepted")
	require.Equal(t, "unloaded version [1]", steps["unload"])
}

// A deployment that began while a rollback was under way is ended too.
func TestRollbackModelEndsDeployments(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3)
	w.serving(t, "1")
	w.serving(t, "2")
	rollouts := 0
	begin := func() {
		rollouts++
		w.must(t, domain.StartRollout{
			ModelID: "digits", RolloutID: domain.RolloutID(uuid.NewString()), Version: "3", Target: "local",
		})
	}
	begin()
	w.onEnd = func() { // the deployment that ran is undone; after the first one, somebody begins another
		model, err := w.Model(t.Context(), "default", "digits")
		require.NoError(t, err)
		w.must(t, domain.RollBackRollout{ModelID: "digits", RolloutID: model.Rollouts["local"].ID, Reason: "cancelled"})
		if rollouts == 1 {
			begin()
		}
	}
	st := newDeployStage(t, w)
	result, err := tell[workflows.RollbackModelResult](st, workflows.KindRollbackModel, input{"model_id": "digits", "target": "local"})
	require.NoError(t, err)
	require.Equal(t, []string{deploySagaID, deploySagaID}, w.ended)
	recorded, deployed := last[domain.ModelDeployed](w.books)
	require.Equal(t, domain.Version("1"), deployed.Version)
	require.Equal(t, workflows.RollbackModelResult{
		Outcome: "rolled_back", Version: "1", Previous: "2", Reason: "rolled back by anonymous", Position: recorded.Position,
	}, result)
	require.Equal(t, []string{"default.digits.v1"}, w.server.serves())
}

// A promotion whose answers are lost until the saga parks is recorded once, and retry_step finds it.
func TestDeployModelPromotesOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t, 1)
	w.fails("PromoteRollout", answerLost, 15)
	st := newDeployStage(t, w)
	st.after(time.Hour, func() { st.update("retry_step", input{"by": "on-call"}) })
	result, err := st.deploy(deployDigits("1", nil))
	require.NoError(t, err)
	require.Equal(t, "promoted", result.Outcome)
	require.Equal(t, []string{"RolloutStarted", "RolloutPromoted", "ModelDeployed 1"}, st.story())
}
