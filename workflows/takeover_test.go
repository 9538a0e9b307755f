package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"

	"phantom/domain"
	"phantom/training"
	"phantom/workflows"
)

// A worker that stops hands its training on: the job saves a checkpoint, another worker finds it by its
// key, and each epoch stands in the log once.
func TestTrainingMovesToAnotherWorker(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	sv := newServer(t, script{epochs: 4, holdsAfter: 2, onHold: func() { close(held) }})
	stop := sv.worker()
	s := sv.start(trainDigits(nil))
	<-held
	var takenOver time.Time
	sv.trainer.onSubmit = func() { takenOver = time.Now() }
	began := time.Now()
	stop()
	require.Equal(t, []training.Order{training.Checkpoint}, sv.trainer.given(), "saved, and not stopped")
	close(sv.trainer.release)
	sv.worker()
	require.Equal(t, "registered", s.outcome())
	require.Less(t, takenOver.Sub(began), 10*time.Second)
	require.Equal(t, []string{
		"ModelCreated", "TrainingStarted", "TrainingProgressUpdated 1", "TrainingProgressUpdated 2",
		"TrainingProgressUpdated 3", "TrainingProgressUpdated 4", "TrainingCompleted",
		"CandidateEvaluated passed=true", "ModelVersionCreated 1",
	}, sv.books.history())
	require.Len(t, sv.trainer.keys, 2)
	require.Equal(t, sv.trainer.keys[0], sv.trainer.keys[1])
}

// What people see in Temporal's own tools, and what the API compares requests by.
func TestASagaTellsWhatItIs(t *testing.T) {
	t.Parallel()
	sv := newServer(t, script{})
	sv.worker()
	in := trainDigits(input{
		"create": input{"name": "Digits", "tags": input{"team": "vision"}}, "approval": input{},
		"deploy": input{"target": "local"}, "gates": gated(0.95)["gates"],
	})
	s := sv.start(in)
	s.waitsFor(workflows.WaitingApproval)

	description, err := sv.client.DescribeWorkflowExecution(t.Context(), s.GetID(), s.GetRunID())
	require.NoError(t, err)
	found := description.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	require.Equal(t, "default", payload[string](t, found["MLTenant"]))
	require.Equal(t, "digits", payload[string](t, found["MLModelID"]))
	require.Equal(t, "TrainModel", payload[string](t, found["MLRunKind"]))
	require.Equal(t, "local", payload[string](t, found["MLTarget"]))
	require.Equal(t, "vision", payload[string](t, found["MLTeam"]))
	require.Equal(t, "approval", payload[string](t, found["MLStage"]))
	require.InDelta(t, 0.97, payload[float64](t, found["MLScore"]), 1e-9)

	text, err := converter.GetDefaultDataConverter().ToPayload(in)
	require.NoError(t, err)
	normal, err := workflows.ParseTrainModel(text.GetData())
	require.NoError(t, err)
	hash, err := workflows.RequestHash(workflows.KindTrainModel, normal)
	require.NoError(t, err)
	memo := description.GetWorkflowExecutionInfo().GetMemo().GetFields()
	require.Equal(t, hash, payload[string](t, memo[workflows.MemoRequestHash]))

	value, err := sv.client.QueryWorkflow(t.Context(), s.GetID(), "", "__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(t, value.Get(&metadata))
	require.Contains(t, metadata.GetCurrentDetails(), "**train digits** — approval, waiting for **approval** (allowed: approve, reject, cancel)")
	require.Contains(t, metadata.GetCurrentDetails(), "| evaluate | done |")
	require.Contains(t, metadata.GetCurrentDetails(), "| accuracy | 0.97 |")
	require.Less(t, len(metadata.GetCurrentDetails()), 20_000)
	for _, definition := range metadata.GetDefinition().GetUpdateDefinitions() {
		require.NotEmpty(t, definition.GetDescription(), definition.GetName())
	}
	require.Len(t, metadata.GetDefinition().GetUpdateDefinitions(), 3)
	require.Len(t, metadata.GetDefinition().GetSignalDefinitions(), 4, "the updates, and progress")

	require.NoError(t, s.update("reject", input{"by": "on-call", "reason": "no"}))
	require.Equal(t, "rejected", s.outcome())
	status, err := s.status()
	require.NoError(t, err, "a closed saga answers, too")
	require.Equal(t, "rejected", status.Stage)
	recorded, _ := last[domain.ApprovalDecided](sv.books)
	require.Equal(t, recorded.Position, status.Position)
}

func payload[T any](t *testing.T, p *common.Payload) T {
	t.Helper()
	var value T
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(p, &value))
	return value
}
