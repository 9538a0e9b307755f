package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// While Temporal is away, sagas are told from their events, and the answer says so.
func TestSagasAreToldWithoutTemporal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	id := "train:" + string(h.tenant) + ":digits:a"
	meta := domain.Meta{Actor: domain.Actor{Subject: "bob", Auth: domain.AuthLocal}, WorkflowID: id, RunID: "run-1"}
	started, err := h.registry.Handle(t.Context(), h.tenant, domain.StartTraining{
		ModelID: "digits", TrainingJobID: "6f2b1f0e-6d0e-4b57-a79a-0f6a3f1d6a11",
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"}, DatasetInfo: []domain.DatasetInfo{{URI: "u"}},
	}, meta)
	require.NoError(t, err)
	require.NoError(t, h.runner.WaitFor(t.Context(), readmodel.SagasName, string(h.tenant), started.Position))

	list := h.get("/api/v1/sagas?state=running&kind=TrainModel&model_id=digits")
	require.Len(t, list.items(), 1)
	require.Equal(t, "false", list.header.Get("Phantom-Live"))
	require.Equal(t, id, list.items()[0]["saga_id"])
	require.Nil(t, list.items()[0]["status"])
	require.Empty(t, h.get("/api/v1/sagas?state=completed").items())
	one := h.get("/api/v1/sagas/" + id)
	require.Equal(t, "running", one.as(http.StatusOK)["state"])
	require.Equal(t, "false", one.header.Get("Phantom-Live"))
	h.get("/api/v1/sagas?waiting_for=approval").problem(http.StatusServiceUnavailable, "unavailable")
	h.get("/api/v1/sagas/none").problem(http.StatusServiceUnavailable, "unavailable")
	stranger := map[string]string{"Phantom-Tenant": "stranger"}
	require.Empty(t, h.do(request{path: "/api/v1/sagas", header: stranger}).items())
}

// What Temporal has forgotten is known by its events.
func TestClosedSagasOutliveTemporal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTemporal)
	h.createDigits()
	digest := domain.Digest("sha256:" + strings.Repeat("a", 64))
	record := func(id string, cmd domain.Command) {
		meta := domain.Meta{Actor: domain.Actor{Subject: "bob", Auth: domain.AuthLocal}, WorkflowID: id, RunID: "6f2b1f0e-6d0e-4b57-a79a-0f6a3f1d6a11"}
		result, err := h.registry.Handle(t.Context(), h.tenant, cmd, meta)
		require.NoError(t, err)
		require.NoError(t, h.runner.WaitFor(t.Context(), readmodel.SagasName, string(h.tenant), result.Position))
	}
	ended, cut := "train:"+string(h.tenant)+":digits:a", "deploy:"+string(h.tenant)+":digits:prod"
	record(ended, domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest})
	record(cut, domain.StartRollout{ModelID: "digits", RolloutID: "7f2b1f0e-6d0e-4b57-a79a-0f6a3f1d6a11", Version: "1", Target: "prod"})

	one := h.get("/api/v1/sagas/" + ended)
	require.Equal(t, object{"outcome": "registered", "version": "1"}, one.as(http.StatusOK)["result"])
	require.Equal(t, "true", one.header.Get("Phantom-Live"))
	require.Equal(t, "terminated", h.get("/api/v1/sagas/" + cut).as(http.StatusOK)["state"])
	all := h.get("/api/v1/sagas")
	require.Equal(t, "true", all.header.Get("Phantom-Live"))
	require.Len(t, all.items(), 2)
	require.Len(t, h.get("/api/v1/sagas?state=completed").items(), 1)
	require.Len(t, h.get("/api/v1/sagas?state=terminated").items(), 1)
	require.Empty(t, h.get("/api/v1/sagas?state=running").items())
	first := h.get("/api/v1/sagas?limit=1").as(http.StatusOK)
	require.Equal(t, true, first["has_more"])
	rest := h.get("/api/v1/sagas?limit=1&cursor=" + text(first["next_cursor"]))
	require.Equal(t, ended, rest.items()[0]["saga_id"])
	require.Equal(t, false, rest.as(http.StatusOK)["has_more"])
}
