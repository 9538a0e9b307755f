package main

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/registry"
	"phantom/serving/gateway"
)

// A workflow is cancelled, and has undone its work when CancelAndWait returns.
func TestSagasAreCancelledAndWaitedFor(t *testing.T) {
	t.Parallel()
	stack, err := config.TestStack()
	require.NoError(t, err)
	c, err := client.DialContext(t.Context(), client.Options{HostPort: stack.Temporal.Address, Namespace: stack.Temporal.Namespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	queue := "test-" + uuid.NewString()
	undone := make(chan struct{}, 1)
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		err := workflow.Await(ctx, func() bool { return false })
		ctx, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		if sleepErr := workflow.Sleep(ctx, 300*time.Millisecond); sleepErr != nil {
			return sleepErr
		}
		undone <- struct{}{}
		return err
	}, workflow.RegisterOptions{Name: "Undoing"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	id := "deploy:" + queue
	ran, err := sagas{c}.CancelAndWait(t.Context(), id)
	require.NoError(t, err)
	require.False(t, ran, "nothing of that id ever ran")
	_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, "Undoing")
	require.NoError(t, err)
	ran, err = sagas{c}.CancelAndWait(t.Context(), id)
	require.NoError(t, err)
	require.True(t, ran)
	require.Len(t, undone, 1)
	ran, err = sagas{c}.CancelAndWait(t.Context(), id)
	require.NoError(t, err)
	require.False(t, ran, "it has ended")
}

// The inference log is read by revision, and its head is not the lifecycle log's.
func TestInferenceLogIsReadByRevision(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	handler := registry.New(store)
	log := inferenceLog{store, handler}
	day := time.Now().UTC().Format(time.DateOnly)
	for i := range 3 {
		_, err := handler.Handle(t.Context(), "default", domain.RecordInferences{Inferences: []domain.InferenceMade{{
			InferenceID: domain.NewInferenceID("digits", "local", day, uuid.New()), ModelID: "digits", Version: "1", Target: "local",
			Outcome: "ok", SampleRate: 1, Prediction: domain.InClear(json.RawMessage(strconv.Itoa(i))),
		}}}, domain.Meta{Actor: domain.Actor{Subject: "gateway", Auth: domain.AuthLocal}})
		require.NoError(t, err)
	}
	events, err := log.Events(t.Context(), "default", domain.InferenceStream("digits", "local", day), 2, 1)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, int64(2), events[0].Revision)
	require.JSONEq(t, "1", string(events[0].Event.(domain.InferenceMade).Prediction.Clear))
	none, err := log.Events(t.Context(), "default", domain.InferenceStream("digits", "local", "2001-01-01"), 1, 10)
	require.NoError(t, err)
	require.Empty(t, none)
	head, err := log.Head(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, int64(3), head)
	lifecycle, err := gatewayRoutes{store: store}.Head(t.Context(), "default")
	require.NoError(t, err)
	require.Zero(t, lifecycle)
}

// A shift waits for the gateways' group, and for nobody else.
func TestGatewayRoutesAskTheGateways(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	followers := projection.NewFollowers(pool, 0)
	routes := gatewayRoutes{eventstore.New(pool), followers}
	require.NoError(t, followers.Beat(t.Context(), gateway.Group, "edge-7"))
	require.NoError(t, followers.Beat(t.Context(), "others", "edge-8"))
	lagging, err := routes.Lagging(t.Context(), "default", 5)
	require.NoError(t, err)
	require.Equal(t, []string{"edge-7"}, lagging)
	require.NoError(t, followers.Ack(t.Context(), "default", gateway.Group, "edge-7", 5))
	lagging, err = routes.Lagging(t.Context(), "default", 5)
	require.NoError(t, err)
	require.Empty(t, lagging)
}

// What one target serves is not unloaded for another one of the same address or repository.
func TestServingTargetsKnowWhoSharesAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := &parts{cfg: config.Config{File: config.File{Targets: []config.Target{
		{Name: "local", URL: "http://127.0.0.1:1", Repository: dir},
		{Name: "beta", URL: "http://127.0.0.1:1", Repository: dir},
		{Name: "twin", URL: "http://127.0.0.1:2", Repository: dir},
		{Name: "prod", URL: "http://127.0.0.1:3", Repository: t.TempDir()},
	}}}}
	targets, err := p.servingTargets()
	require.NoError(t, err)
	require.Equal(t, []domain.Target{"local", "beta", "twin"}, targets.Sharing("beta"))
	require.Equal(t, []domain.Target{"prod"}, targets.Sharing("prod"))
	_, known := targets.Target("moon")
	require.False(t, known)
	require.ErrorIs(t, targets.CheckConfig(json.RawMessage(`{"logging":"sometimes"}`)), domain.ErrInvalidInput)
}
