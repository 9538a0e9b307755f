package workflows_test

import (
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
	"phantom/training"
	"phantom/workflows"
)

// trained is the history of a training of three epochs, up to its completion.
func trained() []string {
	return []string{
		"ModelCreated", "TrainingStarted", "TrainingProgressUpdated 1", "TrainingProgressUpdated 2",
		"TrainingProgressUpdated 3", "TrainingCompleted",
	}
}

func with(before []string, more ...string) []string {
	return append(append([]string{}, before...), more...)
}

func TestTrainModelRegisters(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	result, err := st.play(trainDigits(input{
		"gates":        []input{{"metric": "accuracy", "op": ">=", "threshold": 0.95}},
		"requested_by": "nightly",
	}))
	require.NoError(t, err)
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ModelVersionCreated 1"), st.books.history())

	recorded, version := last[domain.ModelVersionCreated](st.books)
	require.Equal(t, workflows.TrainModelResult{
		Outcome: "registered", Version: "1", Metrics: map[string]float64{"accuracy": 0.97}, ArtifactsLocation: digest,
		TrainingJobID: version.TrainingJobID, Position: recorded.Position, Deployment: json.RawMessage("null"),
	}, result)
	require.True(t, result.TrainingJobID.Valid())
	require.NotNil(t, version.Signature)
	require.Equal(t, domain.Actor{Subject: "nightly", Auth: domain.AuthTemporal}, recorded.Metadata.Actor)
	require.Equal(t, sagaID+"/default-test-run-id/register/1", recorded.Metadata.CommandID)

	progress, _ := last[domain.TrainingProgressUpdated](st.books)
	require.Equal(t, sagaID+"/default-test-run-id/train/1/3", progress.Metadata.CommandID)
	_, completed := last[domain.TrainingCompleted](st.books)
	require.Equal(t, digest, completed.DatasetInfo[0].Digest)
	require.Equal(t, training.SplitRowHash, completed.DatasetInfo[0].Split)
	require.Equal(t, "label", st.trainer.specs[0].Train.Label)
	require.Equal(t, []string{string(result.TrainingJobID)}, st.trainer.keys)
	require.Empty(t, st.trainer.given(), "a job that ended by itself is not stopped")

	status := st.status()
	require.Equal(t, "registered", status.Stage)
	require.Nil(t, status.WaitingFor)
	require.Nil(t, status.LastError)
	require.Equal(t, recorded.Position, status.Position)
	require.Equal(t, recorded.Revision, status.Revision)
	require.Empty(t, status.AllowedActions)
	require.Equal(t, map[string]workflows.StepState{
		"start": "done", "snapshot": "done", "train": "done", "complete": "done", "evaluate": "done",
		"approval": "skipped", "register": "done", "deploy": "skipped",
	}, st.states())
	require.Equal(t, 1, status.Steps[2].Attempt)
	require.NotNil(t, status.Steps[2].EndedAt)
}

func TestTrainModelKeepsASecondChannelApart(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	_, err := st.play(trainDigits(input{"data": input{
		"train": input{"uri": "train.csv", "label": "digit"}, "test": input{"uri": "test.csv"},
	}}))
	require.NoError(t, err)
	_, completed := last[domain.TrainingCompleted](st.books)
	require.Len(t, completed.DatasetInfo, 2)
	require.Equal(t, "test", completed.DatasetInfo[1].Split)
	require.Equal(t, "digit", completed.DatasetInfo[1].Label)
	require.Equal(t, "digit", st.trainer.specs[0].Test.Label)
}

func TestTrainModelStopsAtAGate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ metric, reason string }{
		"missed":   {"accuracy", "accuracy 0.97 is not >= 0.99"},
		"NaN":      {"f1", "f1 was not measured, and must be >= 0.99"},
		"unknown":  {"auc", "auc was not measured, and must be >= 0.99"},
		"infinite": {"lift", "lift was not measured, and must be >= 0.99"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, script{extra: notNumbers()})
			result, err := st.play(trainDigits(input{
				"gates":    []input{{"metric": test.metric, "op": ">=", "threshold": 0.99}},
				"approval": input{}, "deploy": input{"target": "local"},
			}))
			require.NoError(t, err)
			require.Equal(t, "gate_not_met", result.Outcome)
			require.Equal(t, test.reason, result.Reason)
			require.Empty(t, result.Version)
			require.Equal(t, digest, result.ArtifactsLocation)
			require.Equal(t, with(trained(), "CandidateEvaluated passed=false"), st.books.history())
			require.Equal(t, workflows.StepSkipped, st.states()["register"])
			require.Equal(t, workflows.StepSkipped, st.states()["deploy"])
		})
	}
}

func TestTrainModelIsApproved(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	var approved *answer
	st.after(time.Hour, func() {
		status := st.status()
		require.Equal(t, workflows.WaitingApproval, *status.WaitingFor)
		require.Equal(t, []workflows.Action{"approve", "reject", "cancel"}, status.AllowedActions)
		approved = st.update("approve", input{"by": "on-call", "note": "good"})
	})
	result, err := st.play(trainDigits(input{"approval": input{"timeout": "24h"}}))
	require.NoError(t, err)
	require.Equal(t, "registered", result.Outcome)
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ApprovalRequested",
		"ApprovalDecided approved by on-call good", "ModelVersionCreated 1"), st.books.history())
	recorded, decided := last[domain.ApprovalDecided](st.books)
	require.Equal(t, domain.Actor{Subject: "on-call", Auth: domain.AuthTemporal, Verified: false}, decided.By)
	require.True(t, approved.done)
	require.NoError(t, approved.failed)
	require.Equal(t, recorded.Position, approved.receipt.Position, "the update ends when its event is recorded")
}

func TestTrainModelIsRejected(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(st *stage){
		"by an update": func(st *stage) { st.update("reject", input{"by": "on-call", "reason": "biased"}) },
		"by a signal":  func(st *stage) { st.env.SignalWorkflow("reject", input{"by": "on-call", "reason": "biased"}) },
		"over HTTP": func(st *stage) {
			st.update("reject", input{"actor": input{"subject": "on-call", "auth": "local"}, "reason": "biased"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, script{})
			st.after(time.Hour, func() { send(st) })
			result, err := st.play(trainDigits(input{"approval": input{}}))
			require.NoError(t, err)
			require.Equal(t, "rejected", result.Outcome)
			require.Equal(t, "biased", result.Reason)
			require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ApprovalRequested",
				"ApprovalDecided rejected by on-call biased"), st.books.history())
		})
	}
}

func TestTrainModelExpires(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	began := st.env.Now()
	result, err := st.play(trainDigits(input{"approval": input{"timeout": "36h"}}))
	require.NoError(t, err)
	require.Equal(t, "rejected", result.Outcome)
	require.Equal(t, "expired", result.Reason)
	_, requested := last[domain.ApprovalRequested](st.books)
	require.WithinDuration(t, began.Add(36*time.Hour), requested.ExpiresAt, time.Minute)
	_, decided := last[domain.ApprovalDecided](st.books)
	require.Equal(t, domain.Rejected, decided.Decision)
	require.Equal(t, "expired", decided.Note)
}

func TestTrainModelFailsWithItsTrainer(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{failure: "loss is NaN at epoch 3"})
	_, err := st.play(trainDigits(nil))
	kind, message, _ := refusal(t, err)
	require.Equal(t, "TrainingFailed", kind)
	require.Equal(t, "the training failed: loss is NaN at epoch 3", message)
	require.Equal(t, with(trained()[:5], "TrainingFailed failed"), st.books.history())
	_, failed := last[domain.TrainingFailed](st.books)
	require.Contains(t, failed.ErrorDetails, "loss is NaN at epoch 3")
	status := st.status()
	require.Equal(t, "failed", status.Stage)
	require.Equal(t, message, *status.LastError)
	require.Equal(t, workflows.StepFailed, st.states()["train"])
	require.Empty(t, st.trainer.given(), "a dead job is not stopped")
}

// What a backend says of its failure must not keep the failure from being recorded.
func TestTrainModelRecordsAnEndlessFailure(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{failure: strings.Repeat("panic \x00\xff", 10_000)})
	_, err := st.play(trainDigits(nil))
	kind, _, _ := refusal(t, err)
	require.Equal(t, "TrainingFailed", kind)
	require.Equal(t, with(trained()[:5], "TrainingFailed failed"), st.books.history())
}

func TestTrainModelRefusesBadData(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.files.refusal = &domain.InvalidInput{Field: "label", Reason: "the file has no such column"}
	_, err := st.play(trainDigits(nil))
	kind, _, fields := refusal(t, err)
	require.Equal(t, "InvalidInput", kind)
	require.Equal(t, []activities.FieldError{{Field: "data.train.label", Reason: "the file has no such column"}}, fields)
	require.Equal(t, []string{"ModelCreated", "TrainingStarted", "TrainingFailed failed"}, st.books.history())
	require.Empty(t, st.trainer.keys, "nothing was submitted")
}

func TestTrainModelRefusesAnUnknownTargetBeforeAnyEffect(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	_, err := st.play(trainDigits(input{"deploy": input{"target": "moon"}}))
	kind, _, fields := refusal(t, err)
	require.Equal(t, "InvalidInput", kind)
	require.Equal(t, "deploy.target", fields[0].Field)
	require.Empty(t, st.books.history())
}

func TestTrainModelNeedsItsModel(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	_, err := st.play(input{"model_id": "digits", "data": input{"train": input{"uri": "a.csv"}}})
	kind, message, _ := refusal(t, err)
	require.Equal(t, "NotFound", kind)
	require.Contains(t, message, "digits")
	require.Empty(t, st.books.history())
}

func TestTrainModelRefusesToRegisterWhatIsNotThere(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.files.missing = true
	_, err := st.play(trainDigits(nil))
	kind, _, _ := refusal(t, err)
	require.Equal(t, "NotFound", kind)
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true"), st.books.history(), "what is complete stays so")
}

// another is a training of the same model that somebody else started.
func (st *stage) another() domain.JobID {
	st.t.Helper()
	job := domain.JobID("8d6b3b1e-8d5c-4b0a-9d0a-5a9f3f0f8a11")
	_, err := st.books.Handle(st.t.Context(), "default", domain.CreateModel{
		ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp",
	}, domain.Meta{CommandID: "other/1"})
	require.NoError(st.t, err)
	_, err = st.books.Handle(st.t.Context(), "default", domain.StartTraining{
		ModelID: "digits", TrainingJobID: job, DatasetInfo: []domain.DatasetInfo{{URI: "b.csv"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	}, domain.Meta{CommandID: "other/2"})
	require.NoError(st.t, err)
	return job
}

func TestTrainModelMeetsAnotherTraining(t *testing.T) {
	t.Parallel()
	t.Run("forbid", func(t *testing.T) {
		t.Parallel()
		st := newStage(t, script{})
		st.another()
		_, err := st.play(trainDigits(nil))
		kind, message, _ := refusal(t, err)
		require.Equal(t, "InvalidState", kind)
		require.Contains(t, message, "runs already")
		require.Equal(t, []string{"ModelCreated", "TrainingStarted"}, st.books.history())
	})
	t.Run("allow", func(t *testing.T) {
		t.Parallel()
		st := newStage(t, script{})
		st.another()
		result, err := st.play(trainDigits(input{"concurrency": "allow"}))
		require.NoError(t, err)
		require.Equal(t, "registered", result.Outcome)
	})
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		st := newStage(t, script{})
		job := st.another()
		var once sync.Once
		st.env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
			once.Do(func() {
				status := st.status()
				require.Equal(t, workflows.WaitingTurn, *status.WaitingFor)
				_, err := st.books.Handle(t.Context(), "default", domain.FailTraining{
					ModelID: "digits", TrainingJobID: job, FailureReason: domain.FailureFailed,
				}, domain.Meta{CommandID: "other/3"})
				require.NoError(t, err)
			})
		})
		result, err := st.play(trainDigits(input{"concurrency": "queue"}))
		require.NoError(t, err)
		require.Equal(t, "registered", result.Outcome)
		require.Equal(t, []string{"ModelCreated", "TrainingStarted", "TrainingFailed failed", "TrainingStarted"},
			st.books.history()[:4])
	})
}

func TestTrainModelParksAndGoesOn(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.books.fails("CreateModelVersion", unreachable, 15)
	var retried *answer
	st.after(time.Hour, func() {
		status := st.status()
		require.Equal(t, "register", status.Stage)
		require.Equal(t, workflows.WaitingRetryStep, *status.WaitingFor)
		require.Contains(t, *status.LastError, "the database cannot be reached")
		require.Equal(t, []workflows.Action{"retry_step", "cancel"}, status.AllowedActions)
		require.Equal(t, workflows.StepFailed, st.states()["register"])
		retried = st.update("retry_step", input{})
	})
	result, err := st.play(trainDigits(nil))
	require.NoError(t, err)
	require.Equal(t, "registered", result.Outcome)
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ModelVersionCreated 1"), st.books.history())
	require.NoError(t, retried.rejected)
	require.True(t, retried.done)
	require.Nil(t, st.status().LastError)
	recorded, _ := last[domain.ModelVersionCreated](st.books)
	require.Equal(t, sagaID+"/default-test-run-id/register/2", recorded.Metadata.CommandID)
	require.Equal(t, 2, st.status().Steps[6].Attempt)
}

// A try that worked and lost its answer, and then parked, is found again by retry_step: it happens once.
func TestTrainModelFindsWhatAnEarlierTryDid(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.books.fails("CompleteTraining", answerLost, 1)
	st.books.fails("CompleteTraining", unreachable, 14)
	st.after(time.Hour, func() { st.update("retry_step", input{"by": "on-call"}) })
	result, err := st.play(trainDigits(nil))
	require.NoError(t, err)
	require.Equal(t, "registered", result.Outcome)
	require.Equal(t, with(trained(), "CandidateEvaluated passed=true", "ModelVersionCreated 1"), st.books.history())
	completed, _ := last[domain.TrainingCompleted](st.books)
	require.Equal(t, sagaID+"/default-test-run-id/complete/1", completed.Metadata.CommandID)
	require.Equal(t, 2, st.status().Steps[3].Attempt)
}

func TestTrainModelParkedIsCancelled(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{unreached: 1000})
	st.after(48*time.Hour, func() {
		require.Equal(t, workflows.WaitingRetryStep, *st.status().WaitingFor)
		st.env.CancelWorkflow()
	})
	_, err := st.play(trainDigits(nil))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Equal(t, []string{"ModelCreated", "TrainingStarted", "TrainingFailed cancelled"}, st.books.history())
	require.Equal(t, []training.Order{training.Kill}, st.trainer.given())
	require.Equal(t, workflows.StepCompensated, st.states()["start"])
	require.Equal(t, workflows.StepCompensated, st.states()["train"])
}

func TestTrainModelDeploys(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		child   error
		outcome string
	}{
		"promoted":    {nil, "promoted"},
		"rolled back": {nil, "rolled_back"},
		"failed":      {temporal.NewNonRetryableApplicationError("another rollout runs", "InvalidState", nil), "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, script{})
			st.env.RegisterWorkflowWithOptions(deployStub(test.outcome, test.child),
				workflow.RegisterOptions{Name: workflows.KindDeployModel, DisableAlreadyRegisteredCheck: true})
			var childID string
			st.env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
				childID = info.WorkflowExecution.ID
			})
			result, err := st.play(trainDigits(input{"deploy": input{
				"target": "local", "strategy": input{"canary": input{"steps": []input{{"weight": 10, "hold": "30s"}}}},
			}}))
			require.NoError(t, err)
			require.Equal(t, "deploy:default:digits:local", childID)
			require.Equal(t, "registered", result.Outcome)
			var deployment struct {
				Outcome, Reason string
				Given           struct {
					Version  string
					Target   string
					ModelID  string `json:"model_id"`
					Strategy json.RawMessage
				}
			}
			require.NoError(t, json.Unmarshal(result.Deployment, &deployment))
			require.Equal(t, test.outcome, deployment.Outcome)
			if test.child != nil {
				require.Equal(t, "another rollout runs", deployment.Reason)
				return
			}
			require.Equal(t, "1", deployment.Given.Version)
			require.Equal(t, "digits", deployment.Given.ModelID)
			require.JSONEq(t, `{"canary":{"steps":[{"weight":10,"hold":"30s"}]}}`, string(deployment.Given.Strategy))
			require.Equal(t, int64(99), result.Position)
		})
	}
}

// notNumbers are metrics that a broken trainer reports.
func notNumbers() map[string]float64 {
	return map[string]float64{"f1": math.NaN(), "lift": math.Inf(1)}
}
