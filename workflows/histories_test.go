package workflows_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"phantom/domain"
	"phantom/workflows"
)

//nolint:gochecknoglobals // a flag of the test binary: go test ./workflows -run 'TestSagas|TestProjectionRunner' -update
var update = flag.Bool("update", false, "write the histories of real runs to testdata/histories")

// scenario is one way in which a TrainModel can go.
type scenario struct {
	script  script
	input   input
	prepare func(sv *server)
	during  func(s saga)
	outcome string
	events  []string
}

func gated(threshold float64) input {
	return input{"gates": []input{{"metric": "accuracy", "op": ">=", "threshold": threshold}}}
}

func scenarios() map[string]scenario {
	evaluated := with(trained(), "CandidateEvaluated passed=true")
	asked := with(evaluated, "ApprovalRequested")
	held := make(map[string]chan struct{})
	for _, name := range []string{"snapshot", "training"} {
		held[name] = make(chan struct{})
	}
	return map[string]scenario{
		"registered": {
			input: gated(0.95), outcome: "registered", events: with(evaluated, "ModelVersionCreated 1"),
		},
		"gate_not_met": {
			input: gated(0.99), outcome: "gate_not_met", events: with(trained(), "CandidateEvaluated passed=false"),
		},
		"approved": {
			input: input{"approval": input{}}, outcome: "registered",
			during: func(s saga) {
				s.waitsFor(workflows.WaitingApproval)
				require.ErrorContains(s.t, s.update("retry_step", nil), "allowed: approve, reject, cancel")
				require.NoError(s.t, s.update("approve", input{"by": "on-call", "note": "good"}))
			},
			events: with(asked, "ApprovalDecided approved by on-call good", "ModelVersionCreated 1"),
		},
		"rejected_by_signal": {
			input: input{"approval": input{}}, outcome: "rejected",
			during: func(s saga) {
				s.waitsFor(workflows.WaitingApproval)
				require.NoError(s.t, s.client.SignalWorkflow(s.t.Context(), s.GetID(), "", "reject",
					input{"by": "on-call", "reason": "biased"}))
			},
			events: with(asked, "ApprovalDecided rejected by on-call biased"),
		},
		"expired": {
			input: input{"approval": input{"timeout": "1s"}}, outcome: "rejected",
			events: with(asked, "ApprovalDecided rejected by phantom expired"),
		},
		"trainer_failed": {
			script: script{failure: "loss is NaN"}, outcome: "TrainingFailed",
			events: with(trained()[:5], "TrainingFailed failed"),
		},
		"bad_input": {
			input: input{"data": input{}, "epochs": 3}, outcome: "InvalidInput", events: []string{},
		},
		"bad_data": {
			prepare: func(sv *server) {
				sv.files.refusal = &domain.InvalidInput{Field: "label", Reason: "the file has no such column"}
			},
			outcome: "InvalidInput", events: []string{"ModelCreated", "TrainingStarted", "TrainingFailed failed"},
		},
		"parked_and_retried": {
			prepare: func(sv *server) { sv.books.fails("CreateModelVersion", unreachable, 2) },
			during: func(s saga) {
				s.waitsFor(workflows.WaitingRetryStep)
				require.NoError(s.t, s.update("retry_step", nil))
			},
			outcome: "registered", events: with(evaluated, "ModelVersionCreated 1"),
		},
		"parked_and_canceled": {
			prepare: func(sv *server) { sv.books.fails("CompleteTraining", unreachable, 2) },
			during: func(s saga) {
				s.waitsFor(workflows.WaitingRetryStep)
				s.cancel()
			},
			outcome: "canceled", events: with(trained()[:5], "TrainingFailed cancelled"),
		},
		"canceled_in_snapshot": {
			prepare: func(sv *server) { sv.files.onHold = func() { close(held["snapshot"]) } },
			during: func(s saga) {
				<-held["snapshot"]
				s.cancel()
			},
			outcome: "canceled", events: []string{"ModelCreated", "TrainingStarted", "TrainingFailed cancelled"},
		},
		"canceled_in_training": {
			script: script{holdsAfter: 2, onHold: func() { close(held["training"]) }},
			during: func(s saga) {
				<-held["training"]
				s.cancel()
			},
			outcome: "canceled", events: with(trained()[:4], "TrainingFailed cancelled"),
		},
		"canceled_in_approval": {
			input: input{"approval": input{}}, outcome: "canceled",
			during: func(s saga) {
				s.waitsFor(workflows.WaitingApproval)
				s.cancel()
			},
			events: with(asked, "ApprovalDecided rejected by phantom cancelled"),
		},
		"deployed": {
			input: input{"deploy": input{"target": "local"}}, outcome: "registered",
			prepare: func(sv *server) {
				sv.child = func(workflow.Context) (map[string]any, error) {
					return map[string]any{"outcome": "promoted", "initial": true, "position": 12}, nil
				}
			},
			events: with(evaluated, "ModelVersionCreated 1"),
		},
		"canceled_in_deployment": {
			input: input{"deploy": input{"target": "local"}}, outcome: "canceled",
			prepare: func(sv *server) {
				sv.child = func(ctx workflow.Context) (map[string]any, error) {
					return nil, workflow.Await(ctx, func() bool { return false })
				}
			},
			during: func(s saga) {
				s.until(func(status workflows.Status) bool { return status.Stage == "deploy" })
				s.cancel()
			},
			events: with(evaluated, "ModelVersionCreated 1"),
		},
	}
}

// TestSagas plays each scenario on a real server, and replays the history that it just wrote. With
// -update that history becomes the one in testdata.
func TestSagas(t *testing.T) {
	t.Parallel()
	for name, sc := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sv := newServer(t, sc.script)
			if sc.prepare != nil {
				sc.prepare(sv)
			}
			sv.worker()
			s := sv.start(trainDigits(sc.input))
			if sc.during != nil {
				sc.during(s)
			}
			require.Equal(t, sc.outcome, s.outcome())
			require.Equal(t, sc.events, sv.books.history())
			s.keepHistory("TrainModel_" + name)
		})
	}
}

// keepHistory replays the history that the saga just wrote; with -update it is saved.
func (s saga) keepHistory(name string) {
	s.t.Helper()
	text := s.history()
	replay(s.t, text)
	if *update {
		require.NoError(s.t, os.WriteFile(historyFile(name), text, 0o600))
	}
}

func historyFile(name string) string { return filepath.Join("testdata", "histories", name+".json") }

// TestHistories replays every saved history, and misses none: today's code tells the same stories.
func TestHistories(t *testing.T) {
	t.Parallel()
	names := []string{"ProjectionRunner_canceled", "ProjectionRunner_steered"}
	for name := range scenarios() {
		names = append(names, "TrainModel_"+name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(historyFile(name))
			require.NoError(t, err, "write it with: go test ./workflows -run 'TestSagas|TestProjectionRunner' -update")
			replay(t, text)
		})
	}
}

// A replay notices when the code tells another story: else the test above proves nothing.
func TestReplayNoticesAnotherStory(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(historyFile("TrainModel_registered"))
	require.NoError(t, err)
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		return workflow.Sleep(ctx, 1)
	}, workflow.RegisterOptions{Name: workflows.KindTrainModel})
	require.ErrorContains(t, replayer.ReplayWorkflowHistory(quiet(), parsed(t, text)), "TMPRL1100")
}

func replay(t *testing.T, text []byte) {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	workflows.New(workflows.Settings{Queues: workflows.DefaultQueues()}).Register(replayer)
	require.NoError(t, replayer.ReplayWorkflowHistory(quiet(), parsed(t, text)))
}

func parsed(t *testing.T, text []byte) *historypb.History {
	t.Helper()
	var history historypb.History
	require.NoError(t, protojson.Unmarshal(text, &history))
	return &history
}

// history is the saga's, as `temporal workflow show -o json` has it.
func (s saga) history() []byte {
	s.t.Helper()
	var history historypb.History
	events := s.client.GetWorkflowHistory(s.t.Context(), s.GetID(), s.GetRunID(), false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		history.Events = append(history.Events, event)
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&history)
	require.NoError(s.t, err)
	return text
}

var _ client.WorkflowRun = saga{}
