package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rollback does not wait for a canary: it ends the running one, which gives its traffic back, and then
// brings the previous version back at once.
func TestARollbackEndsARunningCanary(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	p.champion()
	p.live()
	s := p.ended(p.deploy(p.registered(2), map[string]any{"strategy": canary(step(50, "1s"))}))
	require.Equal(t, "completed", s.State, s.Error)
	history := p.events(model)
	running := p.deploy(p.registered(3), map[string]any{"strategy": canary(step(50, "10m"))})
	p.eventually("version 3 has traffic", func() bool { return countOf(p.events(model)[len(history):], "TrafficShifted") > 0 })

	var accepted struct {
		SagaID string `json:"saga_id"`
	}
	require.NoError(t, p.send(http.MethodPost, "/api/v1/models/"+model+"/deployments/local/rollback", map[string]any{"reason": "alarm"}, &accepted))
	s = p.ended(accepted.SagaID)
	require.Equal(t, "completed", s.State, s.Error)
	require.Equal(t, "canceled", p.ended(running).State)
	own := p.events(model)[len(history):]
	require.Equal(t, 1, countOf(own, "RolloutRolledBack"))
	require.Equal(t, 1, countOf(own, "ModelDeployed"))
	require.Equal(t, []deployment{{Target: "local", Version: "1", State: "deployed", Weight: 100}}, p.state().deployments)
}
