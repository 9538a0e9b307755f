package workflows_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"phantom/domain"
	"phantom/serving/target"
	"phantom/workflows"
)

// deployScenario is one way in which a deployment, a rollback or an undeployment can go. Version 1 of three
// serves at local unless empty says otherwise.
type deployScenario struct {
	kind    string
	input   input
	empty   bool
	prepare func(t *testing.T, w *town)
	during  func(s saga, w *town)
	outcome string
	story   []string
	serves  []string // versions that are loaded in the end; nil is version 1
}

func deployWith(more input) input { return deployDigits("2", more) }

func canary(more input) input { return deployWith(input{"strategy": quick(more)}) }

func begun() []string      { return []string{"RolloutStarted", "TrafficShifted 1:90 2:10"} }
func rolledBack() []string { return []string{"TrafficShifted 1:100", "RolloutRolledBack to 1"} }
func promoted() []string   { return []string{"RolloutPromoted", "ModelDeployed 2"} }

// silent has a candidate that nobody asks anything.
func silent(onInconclusive string) input {
	return canary(input{"max_hold": "300ms", "on_inconclusive": onInconclusive})
}

// patient waits for numbers far longer than a test.
func patient() input { return canary(input{"max_hold": "1h"}) }

func good(_ *testing.T, w *town) { w.answers("2", 120, 0, 0) }

// shifted waits until the candidate is observed at its first step.
func shifted(s saga, w *town) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		_, event := last[domain.RolloutAssessed](w.books)
		return event.Step > 0
	}, 20*time.Second, 20*time.Millisecond)
}

func deployScenarios() map[string]deployScenario {
	all := map[string]deployScenario{}
	maps.Copy(all, deployEnds())
	maps.Copy(all, deployMessages())
	maps.Copy(all, deployCancels())
	maps.Copy(all, otherEnds())
	return all
}

// deployEnds are the ways that the numbers and the world decide.
func deployEnds() map[string]deployScenario {
	return map[string]deployScenario{
		"DeployModel_initial": {
			empty: true, input: deployWith(nil), outcome: "promoted",
			story: with([]string{"RolloutStarted"}, promoted()...), serves: []string{"2"},
		},
		"DeployModel_promoted": {
			input: deployWith(nil), prepare: good, outcome: "promoted", serves: []string{"2"},
			story: with(with(begun(), "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50", "RolloutAssessed 2 passed"), promoted()...),
		},
		"DeployModel_rolled_back": {
			input: deployWith(nil), prepare: func(_ *testing.T, w *town) { w.answers("2", 120, 40, 0) },
			outcome: "rolled_back", story: with(with(begun(), "RolloutAssessed 1 failed"), rolledBack()...),
		},
		"DeployModel_target_refused": {
			input: deployWith(nil), outcome: "rolled_back", story: []string{"RolloutStarted", "RolloutRolledBack to 1"},
			prepare: func(_ *testing.T, w *town) { w.server.refuse = fmt.Errorf("%w: row 0 differs", target.ErrRefused) },
		},
		"DeployModel_inconclusive_continue": {
			// Nobody asked the candidate anything: a step may pass so, the promotion may not.
			input: silent("continue"), outcome: "promoted", serves: []string{"2"},
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingDecision)
				require.NoError(s.t, s.update("promote", input{"by": "on-call"}))
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive", "TrafficShifted 1:50 2:50", "RolloutAssessed 2 inconclusive"), promoted()...),
		},
		"DeployModel_inconclusive_rollback": {
			input: silent("rollback"), outcome: "rolled_back",
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), rolledBack()...),
		},
		"DeployModel_late_numbers": {
			input: silent("pause"), outcome: "promoted", serves: []string{"2"},
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingDecision)
				w.sends("2", 200, 0, 0)
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive", "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50",
				"RolloutAssessed 2 passed"), promoted()...),
		},
		"DeployModel_already_deployed": {
			input: deployDigits("1", nil), outcome: "promoted", story: nil,
		},
		"DeployModel_config_changed": {
			input: deployDigits("1", input{"config": input{"logging": "durable"}}), outcome: "promoted",
			story: []string{"ModelDeployed 1"},
		},
		"DeployModel_bad_input": {
			input: input{"model_id": "digits", "canary": 10}, outcome: "InvalidInput", story: nil,
		},
		"DeployModel_unknown_version": {input: deployDigits("9", nil), outcome: "NotFound", story: nil},
		"DeployModel_unknown_target":  {input: deployWith(input{"target": "moon"}), outcome: "InvalidInput", story: nil},
		"DeployModel_other_rollout": {
			input: deployWith(nil), outcome: "InvalidState", story: nil,
			prepare: func(t *testing.T, w *town) {
				t.Helper()
				w.must(t, domain.StartRollout{
					ModelID: "digits", RolloutID: "8d6b3b1e-8d5c-4b0a-9d0a-5a9f3f0f8a11", Version: "3", Target: "local",
				})
			},
		},
	}
}

// deployMessages are the ways that people decide.
func deployMessages() map[string]deployScenario {
	return map[string]deployScenario{
		"DeployModel_approved": {
			empty: true, input: deployWith(input{"approval": input{}}), outcome: "promoted", serves: []string{"2"},
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingApproval)
				require.NoError(s.t, s.update("approve", input{"by": "on-call", "note": "good"}))
			},
			story: with([]string{"RolloutStarted", "ApprovalRequested", "ApprovalDecided approved by on-call good"}, promoted()...),
		},
		"DeployModel_rejected": {
			input: deployWith(input{"approval": input{}}), outcome: "rejected",
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingApproval)
				require.NoError(s.t, s.update("reject", input{"by": "on-call", "reason": "biased"}))
			},
			story: []string{"RolloutStarted", "ApprovalRequested", "ApprovalDecided rejected by on-call biased", "RolloutRolledBack to 1"},
		},
		"DeployModel_expired": {
			input: deployWith(input{"approval": input{"timeout": "1s"}}), outcome: "rejected",
			story: []string{"RolloutStarted", "ApprovalRequested", "ApprovalDecided rejected by phantom expired", "RolloutRolledBack to 1"},
		},
		"DeployModel_promoted_by_hand": {
			input: patient(), outcome: "promoted", serves: []string{"2"},
			during: func(s saga, w *town) {
				shifted(s, w)
				require.ErrorContains(s.t, s.update("approve", input{"by": "on-call"}), "allowed: promote, abort, cancel")
				require.NoError(s.t, s.update("promote", input{"by": "on-call"}))
				_, shift := last[domain.TrafficShifted](w.books)
				require.Equal(s.t, 50, shift.Weights["2"], "the update ends when the traffic is shifted")
				require.NoError(s.t, s.update("promote", input{"by": "on-call"}))
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive", "TrafficShifted 1:50 2:50"), promoted()...),
		},
		"DeployModel_promoted_fully": {
			input: patient(), outcome: "promoted", serves: []string{"2"},
			during: func(s saga, w *town) {
				shifted(s, w)
				require.NoError(s.t, s.update("promote", input{"by": "on-call", "full": true}))
				_, deployed := last[domain.ModelDeployed](w.books)
				require.Equal(s.t, domain.Version("2"), deployed.Version)
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), promoted()...),
		},
		"DeployModel_aborted": {
			input: patient(), outcome: "rolled_back",
			during: func(s saga, w *town) {
				shifted(s, w)
				require.NoError(s.t, s.update("abort", input{"by": "on-call", "reason": "complaints"}))
				_, back := last[domain.RolloutRolledBack](w.books)
				require.Equal(s.t, "aborted by on-call: complaints", back.Reason)
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), rolledBack()...),
		},
		"DeployModel_paused_and_aborted": {
			input: silent("pause"), outcome: "rolled_back",
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingDecision)
				require.NoError(s.t, s.update("abort", input{"by": "on-call"}))
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), rolledBack()...),
		},
		"DeployModel_paused_and_retried": {
			input: silent("pause"), outcome: "rolled_back",
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingDecision)
				require.NoError(s.t, s.update("retry_step", input{"by": "on-call"}))
				s.waitsFor(workflows.WaitingDecision)
				require.NoError(s.t, s.update("abort", input{"by": "on-call"}))
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), rolledBack()...),
		},
		"DeployModel_parked_without_log": {
			input: deployWith(nil), outcome: "promoted", serves: []string{"2"},
			prepare: func(t *testing.T, w *town) {
				t.Helper()
				good(t, w)
				w.logAway = true
			},
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				w.now(func() { w.logAway = false })
				require.NoError(s.t, s.update("retry_step", nil))
			},
			story: with(with(begun(), "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50", "RolloutAssessed 2 passed"), promoted()...),
		},
		"DeployModel_parked_target_away": {
			empty: true, input: deployWith(nil), outcome: "promoted", serves: []string{"2"},
			prepare: func(_ *testing.T, w *town) { w.server.away = true },
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				w.server.goes(false)
				require.NoError(s.t, s.update("retry_step", nil))
			},
			story: with([]string{"RolloutStarted"}, promoted()...),
		},
	}
}

// deployCancels are the stages in which a deployment is cancelled.
func deployCancels() map[string]deployScenario {
	cancelParked := func(s saga, _ *town) {
		s.waitsFor(workflows.WaitingRetryStep)
		s.cancel()
	}
	return map[string]deployScenario{
		"DeployModel_canceled_in_approval": {
			input: deployWith(input{"approval": input{}}), outcome: "canceled",
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingApproval)
				s.cancel()
			},
			story: []string{"RolloutStarted", "ApprovalRequested", "ApprovalDecided rejected by phantom cancelled", "RolloutRolledBack to 1"},
		},
		"DeployModel_canceled_in_load": {
			input: deployWith(nil), outcome: "canceled",
			prepare: func(_ *testing.T, w *town) { w.server.away = true },
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				s.cancel()
				w.server.goes(false)
			},
			story: []string{"RolloutStarted", "RolloutRolledBack to 1"},
		},
		"DeployModel_canceled_in_first_load": {
			empty: true, input: deployWith(nil), outcome: "canceled", serves: []string{},
			prepare: func(_ *testing.T, w *town) { w.server.away = true },
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				s.cancel()
				w.server.goes(false)
			},
			story: []string{"RolloutStarted", "RolloutRolledBack to nothing"},
		},
		"DeployModel_canceled_in_shift": {
			input: deployWith(nil), outcome: "canceled", during: cancelParked,
			prepare: func(_ *testing.T, w *town) {
				w.fails("ShiftTraffic", answerLost, 1)
				w.fails("ShiftTraffic", unreachable, 1)
			},
			story: with(begun(), rolledBack()...),
		},
		"DeployModel_canceled_in_canary": {
			input: patient(), outcome: "canceled",
			during: func(s saga, w *town) {
				shifted(s, w)
				s.cancel()
			},
			story: with(with(begun(), "RolloutAssessed 1 inconclusive"), rolledBack()...),
		},
		"DeployModel_canceled_before_promotion": {
			empty: true, input: deployWith(nil), outcome: "canceled", during: cancelParked, serves: []string{},
			prepare: func(_ *testing.T, w *town) { w.fails("PromoteRollout", unreachable, 2) },
			story:   []string{"RolloutStarted", "RolloutRolledBack to nothing"},
		},
		"DeployModel_canceled_after_promotion": {
			// The promotion stands, though its answer was lost: the old version is what goes.
			input: deployWith(nil), outcome: "canceled", during: cancelParked, serves: []string{"2"},
			prepare: func(t *testing.T, w *town) {
				t.Helper()
				good(t, w)
				w.fails("PromoteRollout", answerLost, 1)
				w.fails("PromoteRollout", unreachable, 1)
			},
			story: with(with(begun(), "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50", "RolloutAssessed 2 passed"), promoted()...),
		},
		"DeployModel_canceled_in_unload": {
			input: deployWith(nil), outcome: "canceled", serves: []string{"2"}, prepare: good,
			during: func(s saga, w *town) {
				s.until(func(status workflows.Status) bool { return status.Stage == "unload" })
				w.server.goes(true)
				s.cancel()
				w.server.goes(false)
			},
			story: with(with(begun(), "RolloutAssessed 1 passed", "TrafficShifted 1:50 2:50", "RolloutAssessed 2 passed"), promoted()...),
		},
	}
}

// otherEnds are those of RollbackModel and UndeployModel.
func otherEnds() map[string]deployScenario {
	back := input{"model_id": "digits", "target": "local", "reason": "complaints"}
	second := func(t *testing.T, w *town) {
		t.Helper()
		w.serving(t, "2")
		delete(w.server.loaded, "default.digits.v1")
	}
	return map[string]deployScenario{
		"RollbackModel_rolled_back": {
			kind: workflows.KindRollbackModel, input: back, prepare: second, outcome: "rolled_back",
			story: []string{"ModelDeployed 1"},
		},
		"RollbackModel_to_a_named_version": {
			kind: workflows.KindRollbackModel, prepare: second, outcome: "rolled_back", serves: []string{"3"},
			input: input{"model_id": "digits", "target": "local", "to": "3"}, story: []string{"ModelDeployed 3"},
		},
		"RollbackModel_nothing_before": {
			kind: workflows.KindRollbackModel, input: back, outcome: "InvalidInput", story: nil,
		},
		"RollbackModel_target_refused": {
			kind: workflows.KindRollbackModel, input: back, outcome: "TargetRefused", story: nil, serves: []string{"2"},
			prepare: func(t *testing.T, w *town) {
				t.Helper()
				second(t, w)
				w.server.refuse = fmt.Errorf("%w: row 0 differs", target.ErrRefused)
			},
		},
		"RollbackModel_canceled": {
			kind: workflows.KindRollbackModel, input: back, outcome: "canceled", story: nil, serves: []string{"2"},
			prepare: func(t *testing.T, w *town) {
				t.Helper()
				second(t, w)
				w.fails("DeployModel", unreachable, 2)
			},
			during: func(s saga, _ *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				s.cancel()
			},
		},
		"UndeployModel_undeployed": {
			kind: workflows.KindUndeployModel, input: back, outcome: "undeployed", serves: []string{},
			story: []string{"ModelUndeployed 1"},
		},
		"UndeployModel_nothing_there": {
			kind: workflows.KindUndeployModel, input: back, empty: true, outcome: "InvalidState", story: nil, serves: []string{},
		},
		"UndeployModel_canceled": {
			kind: workflows.KindUndeployModel, input: back, outcome: "canceled", serves: []string{},
			prepare: func(_ *testing.T, w *town) { w.server.away = true },
			during: func(s saga, w *town) {
				s.waitsFor(workflows.WaitingRetryStep)
				s.cancel()
				w.server.goes(false)
			},
			story: []string{"ModelUndeployed 1"},
		},
	}
}

// TestDeployments plays each scenario on a real server, and replays the history that it just wrote. With
// -update that history becomes the one in testdata.
func TestDeployments(t *testing.T) {
	t.Parallel()
	for name, sc := range deployScenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t, 3)
			if !sc.empty {
				w.serving(t, "1")
			}
			if sc.prepare != nil {
				sc.prepare(t, w)
			}
			all := w.recorded()
			s := startDeployment(t, w, sc)
			if sc.during != nil {
				sc.during(s, w)
			}
			require.Equal(t, sc.outcome, s.outcome())
			require.Equal(t, sc.story, w.story(all[len(all)-1].Position))
			require.Equal(t, served(sc.serves), w.server.serves())
			require.Empty(t, open(t, w), "no rollout is left running")
			text := s.history()
			replay(t, text)
			if *update {
				require.NoError(t, os.WriteFile(filepath.Join("testdata", "histories", name+".json"), text, 0o600))
			}
		})
	}
}

// TestDeploymentHistories replays the saved history of every scenario: today's code tells the same story.
func TestDeploymentHistories(t *testing.T) {
	t.Parallel()
	for name := range deployScenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", "histories", name+".json"))
			require.NoError(t, err, "write it with: go test ./workflows -run TestDeployments -update")
			replay(t, text)
		})
	}
}

// startDeployment starts a worker for the town, and the scenario's saga.
func startDeployment(t *testing.T, w *town, sc deployScenario) saga {
	t.Helper()
	sv := newServer(t, script{})
	sv.deployer(w)
	kind := sc.kind
	if kind == "" {
		kind = workflows.KindDeployModel
	}
	run, err := sv.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "deploy:default:digits:" + sv.queue, TaskQueue: sv.queue,
	}, kind, sc.input)
	require.NoError(t, err)
	return saga{WorkflowRun: run, server: sv}
}

// deployer starts a worker for a town's deployments; the test, or its end, stops it.
func (sv *server) deployer(w *town) (stop func()) {
	sv.t.Helper()
	started := worker.New(sv.client, sv.queue, worker.Options{
		WorkerStopTimeout: 10 * time.Second, MaxHeartbeatThrottleInterval: time.Second, // as the worker has it
	})
	workflows.New(workflows.Settings{
		Queues: workflows.Queues{Orchestration: sv.queue, Training: sv.queue, Projection: sv.queue}, Attempts: 2,
	}).Register(started)
	w.enact(started, sv.client)
	require.NoError(sv.t, started.Start())
	stop = sync.OnceFunc(started.Stop)
	sv.t.Cleanup(stop)
	return stop
}

func served(versions []string) []string {
	if versions == nil {
		versions = []string{"1"}
	}
	var names []string
	for _, version := range versions {
		names = append(names, "default.digits.v"+version)
	}
	return names
}

// open lists the rollouts that still run, but for the one that a scenario began itself.
func open(t *testing.T, w *town) []domain.RunningRollout {
	t.Helper()
	model, err := w.Model(t.Context(), "default", "digits")
	require.NoError(t, err)
	var running []domain.RunningRollout
	for _, one := range model.Rollouts {
		if one.Version != "3" {
			running = append(running, one)
		}
	}
	return running
}
