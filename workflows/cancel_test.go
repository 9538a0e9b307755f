package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/training"
	"phantom/workflows"
)

// A saga is cancelled in each of its stages. Each is held by a fault that parks it, because Temporal's
// test environment does not let a cancelled activity finish; cancels under way are in histories_test.go.
func TestTrainModelIsCancelledInEveryStage(t *testing.T) {
	t.Parallel()
	evaluated := with(trained(), "CandidateEvaluated passed=true")
	for _, test := range []struct {
		stage  string
		hold   func(st *stage)
		events []string
		kills  bool
		undone []string
	}{
		{
			stage: "start", hold: func(st *stage) { st.books.fails("StartTraining", unreachable, 15) },
			events: []string{"ModelCreated"},
		},
		{
			stage: "snapshot", hold: func(st *stage) { st.files.away = true },
			events: []string{"ModelCreated", "TrainingStarted", "TrainingFailed cancelled"}, undone: []string{"start"},
		},
		{
			stage: "train", hold: func(st *stage) { st.trainer.unreached = 1000 },
			events: []string{"ModelCreated", "TrainingStarted", "TrainingFailed cancelled"}, kills: true,
			undone: []string{"start", "train"},
		},
		{
			stage: "complete", hold: func(st *stage) { st.books.fails("CompleteTraining", unreachable, 15) },
			events: with(trained()[:5], "TrainingFailed cancelled"), kills: true, undone: []string{"start", "train"},
		},
		{
			stage: "evaluate", hold: func(st *stage) { st.books.fails("EvaluateCandidate", unreachable, 15) },
			events: trained(),
		},
		{
			stage: "approval", hold: func(*stage) {},
			events: with(evaluated, "ApprovalRequested", "ApprovalDecided rejected by phantom cancelled"),
			undone: []string{"approval"},
		},
		{
			stage: "register", hold: func(st *stage) {
				st.books.fails("CreateModelVersion", unreachable, 15)
				st.after(time.Hour, func() { st.update("approve", input{"by": "on-call"}) })
			},
			events: with(evaluated, "ApprovalRequested", "ApprovalDecided approved by on-call"),
		},
	} {
		t.Run(test.stage, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, script{})
			test.hold(st)
			st.after(48*time.Hour, func() {
				require.Equal(t, test.stage, st.status().Stage)
				st.env.CancelWorkflow()
			})
			_, err := st.play(trainDigits(input{"approval": input{"timeout": "720h"}}))
			require.True(t, temporal.IsCanceledError(err), "%v", err)
			require.Equal(t, test.events, st.books.history())
			require.Equal(t, test.kills, len(st.trainer.given()) > 0, "stopped when it may run, and only then")
			require.Equal(t, "canceled", st.status().Stage)
			require.Empty(t, st.status().AllowedActions)
			var undone []string
			for _, step := range st.status().Steps {
				if step.State == workflows.StepCompensated {
					undone = append(undone, step.Name)
				}
			}
			require.Equal(t, test.undone, undone)
		})
	}
}

// The job is stopped before it is recorded as cancelled: a recorded end is a proven end.
func TestTrainModelStopsTheJobBeforeItSaysSo(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.books.fails("CompleteTraining", unreachable, 15)
	st.books.fails("FailTraining", unreachable, 9) // Temporal's test environment gives up after 10, a server never
	st.after(48*time.Hour, st.env.CancelWorkflow)
	_, err := st.play(trainDigits(nil))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Equal(t, []training.Order{training.Kill}, st.trainer.given())
	require.Equal(t, with(trained()[:5], "TrainingFailed cancelled"), st.books.history())
}

func TestTrainModelCancelsItsDeployment(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	var asked bool
	st.env.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ json.RawMessage) error {
		err := workflow.Await(ctx, func() bool { return false })
		asked = temporal.IsCanceledError(err)
		return err
	}, workflow.RegisterOptions{Name: workflows.KindDeployModel, DisableAlreadyRegisteredCheck: true})
	st.after(time.Hour, st.env.CancelWorkflow)
	_, err := st.play(trainDigits(input{"deploy": input{"target": "local"}}))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.True(t, asked, "the child was asked to cancel")
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ModelVersionCreated 1"), st.books.history(),
		"the version stays")
}
