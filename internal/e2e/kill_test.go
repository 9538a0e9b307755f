package e2e_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A worker that is killed in a training is started again: the job goes on from its checkpoint and leaves
// the same bits as one that nobody disturbed.
func TestAKilledTrainingEndsAsIfUndisturbed(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	undisturbed := artifactOf(t, p.ended(p.train(patient())))

	id := p.train(patient())
	p.eventually("the second job has recorded some epochs", func() bool {
		return countOf(p.events(model), "TrainingProgressUpdated") > patientEpochs+10
	})
	p.kill()
	p.run()
	inside := p.events(model)
	require.Equal(t, 2, countOf(inside, "TrainingStarted"))
	require.Equal(t, 1, countOf(inside, "TrainingCompleted"), "the kill came too late: the job was complete")
	s := p.ended(id)

	require.Equal(t, "completed", s.State, s.Error)
	require.Equal(t, undisturbed, artifactOf(t, s))
	events := p.events(model)
	require.Equal(t, 2, countOf(events, "TrainingCompleted"))
	require.Equal(t, 2, countOf(events, "CandidateEvaluated"))
	require.Equal(t, 2, countOf(events, "ModelVersionCreated"))
	require.Equal(t, 2*patientEpochs, countOf(events, "TrainingProgressUpdated"), "each epoch of both jobs once")
}

// A worker that is killed in a canary takes gateway and model server with it: they serve again what they
// served, and the canary is decided from the log.
func TestAKilledCanaryIsDecidedFromTheLog(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	p.champion()
	candidate := p.registered(2)
	id := p.deploy(candidate, map[string]any{"strategy": canary(step(50, "15s"))})
	p.waitEvent(model, "TrafficShifted")
	p.live()
	p.waitEvent(model, "RolloutAssessed")
	p.kill()
	p.run()
	inside := p.events(model)
	require.Equal(t, 1, countOf(inside, "TrafficShifted"))
	require.Zero(t, countOf(inside, "RolloutRolledBack"))
	require.Equal(t, 1, countOf(inside, "RolloutPromoted"), "only the champion's: the kill fell inside the canary")
	s := p.ended(id)

	require.Equal(t, "completed", s.State, s.Error)
	var result struct{ Outcome, Version, Previous string }
	require.NoError(t, json.Unmarshal(s.Result, &result))
	require.Equal(t, "promoted", result.Outcome)
	require.Equal(t, candidate, result.Version)
	events := p.events(model)
	require.Equal(t, 2, countOf(events, "RolloutPromoted"))
	require.Equal(t, 2, countOf(events, "ModelDeployed"))
	require.Equal(t, 2, countOf(events, "RolloutStarted"))
}

// A worker that is killed while a cancelled training is undone: the undo is finished, once.
func TestAKilledCompensationIsFinished(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	id := p.train(patient())
	p.waitEvent(model, "TrainingProgressUpdated")
	release := p.holdLog() // so that the undo cannot be over before it is disturbed
	p.cancel(id)
	p.eventually("the saga compensates", func() bool { return p.saga(id).Status.Stage == "compensating" })
	p.blocked()
	inside := p.events(model)
	require.Equal(t, 1, countOf(inside, "TrainingStarted"))
	require.Zero(t, countOf(inside, "TrainingFailed"))
	p.kill()
	release()
	p.run()
	s := p.ended(id)

	require.Equal(t, "canceled", s.State)
	events := p.events(model)
	require.Equal(t, 1, countOf(events, "TrainingFailed"))
	require.Zero(t, countOf(events, "TrainingCompleted"))
	require.Equal(t, "created", p.state().Status)
}

func artifactOf(t *testing.T, s saga) string {
	t.Helper()
	require.Equal(t, "completed", s.State, s.Error)
	var result struct {
		ArtifactsLocation string `json:"artifacts_location"`
	}
	require.NoError(t, json.Unmarshal(s.Result, &result))
	require.NotEmpty(t, result.ArtifactsLocation)
	return result.ArtifactsLocation
}
