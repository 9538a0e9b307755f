package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/workflows"
)

// stage plays one saga in Temporal's time-skipping environment: real workflows and real activities, over
// books and a scripted trainer.
type stage struct {
	t       *testing.T
	env     *testsuite.TestWorkflowEnvironment
	books   *books
	files   *files
	trainer *scripted
	signals signals
}

// signals keeps what activities send to the saga.
type signals struct {
	mu   sync.Mutex
	sent []any
}

func (s *signals) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, arg)
	return nil
}

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

const sagaID = "train:default:digits:a"

func newStage(t *testing.T, s script) *stage {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet())
	st := &stage{t: t, env: suite.NewTestWorkflowEnvironment(), books: newBooks(), files: &files{}, trainer: newTrainer(s)}
	workflows.New(workflows.Settings{Queues: workflows.DefaultQueues()}).Register(st.env)
	st.env.RegisterActivity(&activities.Training{
		Commands: st.books, Aggregates: st.books, Artifacts: st.files, Targets: st.files,
	})
	st.env.RegisterActivity(&activities.Approvals{Commands: st.books})
	st.env.RegisterActivity(&activities.Trainer{
		Trainer: st.trainer, Datasets: st.files, Commands: st.books, Aggregates: st.books, Signals: &st.signals,
	})
	st.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: sagaID, TaskQueue: "ml-orchestration"})
	st.env.SetTestTimeout(20 * time.Second)
	return st
}

// input is a TrainModel input: the least one, and what the test adds.
type input map[string]any

func trainDigits(more input) input {
	in := input{
		"model_id": "digits", "data": input{"train": input{"uri": "examples/digits/digits.csv"}},
		"create": input{"name": "Digits"},
	}
	maps.Copy(in, more)
	return in
}

// play runs TrainModel to its end.
func (st *stage) play(in input) (workflows.TrainModelResult, error) {
	st.t.Helper()
	st.env.ExecuteWorkflow(workflows.KindTrainModel, in)
	require.True(st.t, st.env.IsWorkflowCompleted(), "the saga hangs")
	var result workflows.TrainModelResult
	if err := st.env.GetWorkflowError(); err != nil {
		return result, err
	}
	return result, st.env.GetWorkflowResult(&result)
}

func (st *stage) status() workflows.Status {
	st.t.Helper()
	value, err := st.env.QueryWorkflow("status")
	require.NoError(st.t, err)
	var status workflows.Status
	require.NoError(st.t, value.Get(&status))
	return status
}

func (st *stage) progress() workflows.Progress {
	st.t.Helper()
	value, err := st.env.QueryWorkflow("progress")
	require.NoError(st.t, err)
	var progress workflows.Progress
	require.NoError(st.t, value.Get(&progress))
	return progress
}

func (st *stage) states() map[string]workflows.StepState {
	st.t.Helper()
	states := map[string]workflows.StepState{}
	for _, step := range st.status().Steps {
		states[step.Name] = step.State
	}
	return states
}

// after calls f at a time of the saga's own clock, when it waits for something.
func (st *stage) after(d time.Duration, f func()) { st.env.RegisterDelayedCallback(f, d) }

// answer is what became of an update.
type answer struct {
	receipt  workflows.Receipt
	rejected error
	failed   error
	done     bool
}

// update sends an update; the answer is complete when the saga is.
func (st *stage) update(name string, payload any) *answer {
	a := &answer{}
	st.env.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
		OnReject: func(err error) { a.rejected = err },
		OnAccept: func() {},
		OnComplete: func(result any, err error) {
			a.done, a.failed = true, err
			if receipt, ok := result.(workflows.Receipt); ok {
				a.receipt = receipt
			}
		},
	}, payload)
	return a
}

// refusal is the type, the message and the bad fields of the error that a saga ended with.
func refusal(t *testing.T, err error) (string, string, []activities.FieldError) {
	t.Helper()
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok, "%v is no refusal", err)
	require.True(t, app.NonRetryable())
	var fields []activities.FieldError
	if app.HasDetails() {
		require.NoError(t, app.Details(&fields))
	}
	return app.Type(), app.Message(), fields
}

// deployStub stands for DeployModel, which has tests of its own.
func deployStub(outcome string, err error) func(workflow.Context, json.RawMessage) (map[string]any, error) {
	return func(_ workflow.Context, in json.RawMessage) (map[string]any, error) {
		if err != nil {
			return nil, err
		}
		return map[string]any{"outcome": outcome, "position": 99, "given": in}, nil
	}
}
