package workflows_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"phantom/activities"
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

// What the saga has heard of its candidate counts over all its steps.
func TestDeployModelTellsHowManySignalsItGot(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	st := newDeployStage(t, w)
	w.crowd = func(version domain.Version, weight int) {
		if version == "2" && weight < 100 {
			w.sends("2", 120, 0, 0)
			st.env.SignalWorkflow(activities.SignalProgress, activities.Progress{})
		}
	}
	var told []int
	st.env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == "ObserveStep" {
			var in activities.StepWatch
			if err := args.Get(&in); err == nil {
				told = append(told, in.Signalled)
			}
		}
	})
	_, err := st.deploy(deployDigits("2", nil))
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, told)
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

// A rollout whose saga was terminated by hand would keep everybody else out of its target for ever. A
// rollback ends it, and unloads its candidate.
func TestRollbackModelEndsARolloutWithoutASaga(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3)
	w.serving(t, "1")
	w.serving(t, "2")
	w.must(t, domain.StartRollout{
		ModelID: "digits", RolloutID: domain.RolloutID(uuid.NewString()), Version: "3", Target: "local",
	})
	w.server.loaded["default.digits.v3"] = true
	st := newDeployStage(t, w)
	result, err := tell[workflows.RollbackModelResult](st, workflows.KindRollbackModel, input{"model_id": "digits", "target": "local"})
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), result.Version)
	require.Equal(t, []string{"RolloutRolledBack to 2", "ModelDeployed 1"}, st.story())
	require.Equal(t, []string{"default.digits.v1"}, w.server.serves())
}

// A deployment that promotes its version and ends between the rollback's first look and its hand on it is
// what there is to roll back.
func TestRollbackModelLooksAgainWhenADeploymentHasEnded(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3)
	w.serving(t, "1")
	w.serving(t, "2")
	running := domain.RolloutID(uuid.NewString())
	w.must(t, domain.StartRollout{ModelID: "digits", RolloutID: running, Version: "3", Target: "local"})
	w.server.loaded["default.digits.v3"] = true
	st := newDeployStage(t, w)
	st.env.OnActivity("EndDeployment", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.DeploymentEnd) (activities.DeploymentEnded, error) {
			return activities.DeploymentEnded{}, w.handle(domain.PromoteRollout{ModelID: "digits", RolloutID: running}) //nolint:contextcheck // the town has its own
		})
	result, err := tell[workflows.RollbackModelResult](st, workflows.KindRollbackModel, input{"model_id": "digits", "target": "local"})
	require.NoError(t, err)
	require.Equal(t, domain.Version("2"), result.Version)
	require.Equal(t, domain.Version("3"), result.Previous)
	require.NotContains(t, w.server.serves(), "default.digits.v3")
}

// A version that served when the rollback first looked does not serve "already" once a deployment has
// taken its place.
func TestRollbackModelBelievesItsLastLook(t *testing.T) {
	t.Parallel()
	w := newTown(t, 3)
	w.serving(t, "2")
	running := domain.RolloutID(uuid.NewString())
	w.must(t, domain.StartRollout{ModelID: "digits", RolloutID: running, Version: "3", Target: "local"})
	ends := 0
	w.onEnd = func() {
		if ends++; ends == 1 {
			w.must(t, domain.PromoteRollout{ModelID: "digits", RolloutID: running})
		}
	}
	st := newDeployStage(t, w)
	result, err := tell[workflows.RollbackModelResult](st, workflows.KindRollbackModel,
		input{"model_id": "digits", "target": "local", "to": "2", "reason": "by hand"})
	require.NoError(t, err)
	require.Equal(t, "by hand", result.Reason)
	_, deployed := last[domain.ModelDeployed](w.books)
	require.Equal(t, domain.Version("2"), deployed.Version)
	require.Equal(t, []string{"default.digits.v2"}, w.server.serves())
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

// TrainModel hands its version to this very saga, in the words that it takes.
func TestTrainModelDeploysItsVersion(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	w := &town{books: st.books, server: &fakeServer{loaded: map[string]bool{}}}
	w.enactDeployments(st.env, &st.signals)
	result, err := st.play(trainDigits(input{
		"deploy": input{"target": "local", "strategy": quick(nil), "approval": nil}, "requested_by": "nightly",
	}))
	require.NoError(t, err)
	var deployed workflows.DeployModelResult
	require.NoError(t, json.Unmarshal(result.Deployment, &deployed))
	require.Equal(t, "promoted", deployed.Outcome)
	require.True(t, deployed.Initial)
	require.Equal(t, result.Version, deployed.Version)
	require.Equal(t, deployed.Position, result.Position)
	recorded, _ := last[domain.ModelDeployed](w.books)
	require.Equal(t, "nightly", recorded.Metadata.Actor.Subject)
	require.Equal(t, []string{"default.digits.v1"}, w.server.serves())
}

// A worker goes away in the middle of a canary; the next one folds the log anew and goes on, and no verdict
// stands in the log twice.
func TestCanaryMovesToAnotherWorker(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 40, 0, 0)
	sv := newServer(t, script{})
	stop := sv.deployer(w)
	run, err := sv.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "deploy:default:digits:" + sv.queue, TaskQueue: sv.queue,
	}, workflows.KindDeployModel, deployDigits("2", input{"strategy": quick(input{
		"steps": []input{{"weight": 10, "hold": "10ms"}}, "max_hold": "1h",
	})}))
	require.NoError(t, err)
	s := saga{WorkflowRun: run, server: sv}
	shifted(s, w)
	stop()
	w.sends("2", 100, 0, 0)
	sv.deployer(w)
	require.Equal(t, "promoted", s.outcome())
	seen := map[int64]bool{}
	for _, recorded := range w.recorded() {
		if assessed, ok := recorded.Event.(domain.RolloutAssessed); ok {
			samples := assessed.Metrics[0].Samples
			require.False(t, seen[samples], "%d samples are assessed once", samples)
			seen[samples] = true
		}
	}
	require.True(t, seen[20])
	require.True(t, seen[120])
	replay(t, s.history())
}

// What people see in Temporal's own tools while a canary waits for them.
func TestADeploymentTellsWhatItIs(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2)
	w.serving(t, "1")
	w.answers("2", 25, 0, 0)
	s := startDeployment(t, w, deployScenario{input: silent("pause")})
	s.waitsFor(workflows.WaitingDecision)
	status, err := s.status()
	require.NoError(t, err)
	require.Equal(t, []workflows.Action{"promote", "abort", "retry_step", "cancel"}, status.AllowedActions)
	require.Equal(t, "canary_1", status.Stage)

	description, err := s.client.DescribeWorkflowExecution(t.Context(), s.GetID(), s.GetRunID())
	require.NoError(t, err)
	found := description.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	require.Equal(t, "DeployModel", payload[string](t, found["MLRunKind"]))
	require.Equal(t, "local", payload[string](t, found["MLTarget"]))
	require.Equal(t, "vision", payload[string](t, found["MLTeam"]))
	require.Equal(t, "canary_1", payload[string](t, found["MLStage"]))
	require.Equal(t, "2", payload[string](t, found["MLModelVersion"]))

	value, err := s.client.QueryWorkflow(t.Context(), s.GetID(), "", "__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(t, value.Get(&metadata))
	details := metadata.GetCurrentDetails()
	require.Contains(t, details, "**deploy digits version 2 to local** — canary_1, waiting for **decision** (allowed: promote, abort, retry_step, cancel)")
	require.Contains(t, details, "| 1 | 90 % |\n| 2 | 10 % |")
	require.Contains(t, details, "| accuracy_needed |")
	require.Contains(t, details, "0 of 5 labelled answers were wrong")
	for _, definition := range metadata.GetDefinition().GetUpdateDefinitions() {
		require.NotEmpty(t, definition.GetDescription(), definition.GetName())
	}
	require.NoError(t, s.update("abort", input{"by": "on-call"}))
	require.Equal(t, "rolled_back", s.outcome())
}
