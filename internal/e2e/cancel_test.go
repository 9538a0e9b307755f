package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func (p *phantom) cancel(id string) {
	p.t.Helper()
	require.NoError(p.t, p.send(http.MethodPost, "/api/v1/sagas/"+id+"/cancel", map[string]any{}, nil))
}

// undone checks what a cancelled saga leaves: Canceled, the model as before, and a history that only grew.
func (p *phantom) undone(id string, before state, history []event) {
	p.t.Helper()
	s := p.ended(id)
	require.Equal(p.t, "canceled", s.State, s.Error)
	require.Equal(p.t, before, p.state())
	after := p.events(model)
	require.GreaterOrEqual(p.t, len(after), len(history))
	require.Equal(p.t, history, after[:len(history)])
}

func TestATrainingIsCancelledInEachStage(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	before, history := p.state(), p.events(model)

	t.Log("stage start")
	release := p.holdLog()
	id := p.train(patient())
	p.blocked()
	require.Equal(t, history, p.events(model), "nothing has begun")
	p.cancel(id)
	release()
	p.undone(id, before, history)

	t.Log("stage train")
	history = p.events(model)
	id = p.train(patient())
	p.eventually("an epoch is recorded", func() bool {
		return countOf(p.events(model)[len(history):], "TrainingProgressUpdated") > 0
	})
	p.cancel(id)
	p.undone(id, before, history)
	own := p.events(model)[len(history):]
	require.Equal(t, 1, countOf(own, "TrainingStarted"))
	require.Equal(t, 1, countOf(own, "TrainingFailed"))
	require.Zero(t, countOf(own, "TrainingCompleted"))

	t.Log("stage approval")
	history = p.events(model)
	id = p.train(with(quick(1), map[string]any{"approval": map[string]any{"timeout": "1h"}}))
	p.eventually("the saga waits for approval", func() bool { return p.saga(id).Status.WaitingFor == "approval" })
	p.cancel(id)
	require.Equal(t, "canceled", p.ended(id).State)
	own = p.events(model)[len(history):]
	require.Equal(t, 1, countOf(own, "TrainingCompleted"), "the job was complete: nothing of it is undone")
	require.Equal(t, 1, countOf(own, "ApprovalRequested"))
	require.Equal(t, 1, countOf(own, "ApprovalDecided"), "the question is withdrawn")
	require.Zero(t, countOf(own, "ModelVersionCreated"))
	require.Equal(t, "trained", p.state().Status)
}

func TestADeploymentIsCancelledInEachStage(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	p.champion()
	candidate := p.registered(2)
	p.live()
	before := p.state()

	t.Log("stage start")
	history := p.events(model)
	release := p.holdLog()
	id := p.deploy(candidate, nil)
	p.blocked()
	p.cancel(id)
	release()
	p.undone(id, before, history)

	t.Log("stage approval")
	history = p.events(model)
	id = p.deploy(candidate, map[string]any{"approval": map[string]any{"timeout": "1h"}})
	p.eventually("the saga waits for approval", func() bool { return p.saga(id).Status.WaitingFor == "approval" })
	p.rolledBackByCancel(id, before, history)

	t.Log("stage canary")
	history = p.events(model)
	id = p.deploy(candidate, map[string]any{"strategy": canary(step(50, "10m"))})
	p.eventually("traffic has shifted", func() bool { return countOf(p.events(model)[len(history):], "TrafficShifted") > 0 })
	p.rolledBackByCancel(id, before, history)
}

// rolledBackByCancel cancels a rollout that has started.
func (p *phantom) rolledBackByCancel(id string, before state, history []event) {
	p.t.Helper()
	p.cancel(id)
	p.undone(id, before, history)
	own := p.events(model)[len(history):]
	require.Equal(p.t, 1, countOf(own, "RolloutStarted"))
	require.Equal(p.t, 1, countOf(own, "RolloutRolledBack"))
	require.Zero(p.t, countOf(own, "RolloutPromoted"))
}
