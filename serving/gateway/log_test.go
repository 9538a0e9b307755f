package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/serving/gateway"
	"phantom/serving/servingtest"
)

func TestTheLogWaitsWithinItsBoundAndCountsWhatItDrops(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.closed = true
	h := build(t, w, local(t, "mlp", []domain.Version{"1"}, "acme"), func(p *gateway.Params) { p.TenantRows, p.QueueRows = 10, 13 })
	h.deploy(t, "insects", "1", "")
	w.happen("acme", "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
	h.await(t, "acme", 1)
	for range 7 { // 14 rows, of which 10 may wait
		servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2)))
	}
	require.InDelta(t, 4, h.dropped(t, domain.DefaultTenant), 0)
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2), "Phantom-Tenant", "acme"))
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2), "Phantom-Tenant", "acme")) // 14 of all, 13 may wait
	require.InDelta(t, 2, h.dropped(t, "acme"), 0)
	require.InDelta(t, 12, h.count(t, "phantom_gateway_log_waiting_rows", nil), 0)

	w.set(func(w *world) { w.closed = false })
	require.Len(t, h.logged(t, 10), 10)
	require.Eventually(t, func() bool { return len(h.rows("acme")) == 2 }, servingtest.Patience, time.Millisecond)
	require.Eventually(t, func() bool { return h.count(t, "phantom_gateway_log_waiting_rows", nil) == 0 }, servingtest.Patience, time.Millisecond)
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2)))
	require.Len(t, h.logged(t, 12), 12)
}

func TestAStalledTenantDelaysNobodysLog(t *testing.T) {
	t.Parallel()
	w := newWorld()
	stall := make(chan struct{})
	w.stalled["acme"] = stall
	h := build(t, w, local(t, "mlp", []domain.Version{"1"}, "acme"))
	h.deploy(t, "insects", "1", "")
	w.happen("acme", "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
	h.await(t, "acme", 1)
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1), "Phantom-Tenant", "acme"))
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1)))
	h.logged(t, 1)
	require.Empty(t, h.rows("acme"))
	close(stall)
	require.Eventually(t, func() bool { return len(h.rows("acme")) == 1 }, servingtest.Patience, time.Millisecond)
}

func TestRowsThatAreRefusedForGoodDoNotBlockTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.refuse = fmt.Errorf("bad row: %w", domain.ErrInvalidInput)
	h := build(t, w, local(t, "mlp", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", "")
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 3)))
	refused := map[string]string{"fate": "refused"}
	require.Eventually(t, func() bool {
		return h.count(t, "phantom_gateway_log_rows_total", refused) == 3
	}, servingtest.Patience, time.Millisecond)
	w.set(func(w *world) { w.refuse = nil })
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1)))
	require.Len(t, h.logged(t, 1), 1)
}

func TestBatchesKeepTheirCommandIDAndStayOfOneStream(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.closed = true
	h := build(t, w, local(t, "mlp", []domain.Version{"1"}), func(p *gateway.Params) { p.BatchRows = 4 })
	h.deploy(t, "insects", "1", "")
	for range 5 {
		servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2)))
	}
	w.set(func(w *world) { w.closed = false })
	h.logged(t, 10)
	w.set(func(w *world) {
		seen := map[string]bool{}
		for _, meta := range w.metas {
			require.False(t, seen[meta.CommandID])
			seen[meta.CommandID] = true
			require.False(t, meta.At.IsZero())
		}
		require.GreaterOrEqual(t, len(w.metas), 3)
	})
}

// Two models that are asked in turn do not tear each other's rows into batches of one: the log would take
// fewer rows than the targets answer, and drop the rest.
func TestRowsOfSeveralStreamsAreLoggedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.closed = true
	targets := local(t, "mlp", []domain.Version{"1"})
	targets["spare"] = targets["local"]
	h := build(t, w, targets)
	h.deploy(t, "insects", "1", "")
	h.await(t, domain.DefaultTenant,
		w.happen(domain.DefaultTenant, "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "spare"}))
	for range 20 {
		servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1), "Phantom-Target", "local"))
		servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1), "Phantom-Target", "spare"))
	}
	w.set(func(w *world) { w.closed = false })
	made := h.logged(t, 40)
	require.Len(t, made, 40)
	seen := map[domain.InferenceID]bool{}
	for _, row := range made {
		require.False(t, seen[row.InferenceID], "each row once")
		seen[row.InferenceID] = true
	}
	w.set(func(w *world) { require.LessOrEqual(t, len(w.metas), 10) })
}

func TestDurableMeansLoggedBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := build(t, w, local(t, "mlp", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", `{"logging":"durable"}`)
	for i := range 5 {
		servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1)))
		require.Len(t, h.rows(domain.DefaultTenant), i+1)
	}
	w.set(func(w *world) { w.closed = true })
	answer := h.infer(t, "insects", rows(t, "", 1))
	require.Equal(t, http.StatusServiceUnavailable, answer.Status)
	require.Contains(t, refusal(t, answer), "could not be logged")
	bad := h.infer(t, "insects", []byte(`{"inputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1]}]}`))
	require.Equal(t, http.StatusBadRequest, bad.Status) // what was wrong first is what is said
}

func TestOffSampleAndMetadata(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1"}))
	body := rows(t, "", 1)
	h.deploy(t, "insects", "1", `{"logging":"off"}`)
	for range 20 {
		servingtest.Response(t, h.infer(t, "insects", body))
	}
	h.deploy(t, "insects", "1", `{"logging":"async","capture":"metadata"}`)
	servingtest.Response(t, h.infer(t, "insects", body))
	made := h.logged(t, 1)
	require.Len(t, made, 1) // and none of those before
	require.Empty(t, made[0].Prediction)
	require.Nil(t, made[0].Confidence)

	h.deploy(t, "insects", "1", `{"logging":"sample:0.25"}`)
	const asked = 1000
	for range asked {
		servingtest.Response(t, h.infer(t, "insects", body))
	}
	require.NoError(t, h.gateway.Close(t.Context()))
	sampled := h.rows(domain.DefaultTenant)[1:]
	require.InDelta(t, asked/4, len(sampled), 5*13.7) // five standard deviations
	for _, one := range sampled {
		require.InDelta(t, 0.25, one.SampleRate, 0)
	}
}

func TestCloseWritesWhatWaitsAndTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	targets := local(t, "mlp", []domain.Version{"1"})
	h := build(t, newWorld(), targets, func(p *gateway.Params) { p.BatchWait = time.Hour })
	h.deploy(t, "insects", "1", "")
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 3)))
	require.Empty(t, h.rows(domain.DefaultTenant))
	require.NoError(t, h.gateway.Close(t.Context()))
	require.Len(t, h.rows(domain.DefaultTenant), 3)
	servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2))) // still answered, no longer logged
	require.InDelta(t, 2, h.dropped(t, domain.DefaultTenant), 0)

	w := newWorld()
	w.closed = true
	lost := build(t, w, targets)
	lost.deploy(t, "insects", "1", "")
	servingtest.Response(t, lost.infer(t, "insects", rows(t, "", 4)))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, lost.gateway.Close(ctx), "4 inferences")
	require.InDelta(t, 4, lost.dropped(t, domain.DefaultTenant), 0)
}

func TestParseSettings(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]gateway.Settings{
		``:                         {Logging: gateway.LogAsync, Sample: 1, Capture: gateway.CapturePrediction},
		`null`:                     {Logging: gateway.LogAsync, Sample: 1, Capture: gateway.CapturePrediction},
		`{"replicas":3}`:           {Logging: gateway.LogAsync, Sample: 1, Capture: gateway.CapturePrediction},
		`{"logging":"off"}`:        {Logging: gateway.LogOff, Sample: 1, Capture: gateway.CapturePrediction},
		`{"logging":"durable"}`:    {Logging: gateway.LogDurable, Sample: 1, Capture: gateway.CapturePrediction},
		`{"logging":"sample:0.1"}`: {Logging: gateway.LogSample, Sample: 0.1, Capture: gateway.CapturePrediction},
		`{"capture":"metadata"}`:   {Logging: gateway.LogAsync, Sample: 1, Capture: gateway.CaptureMetadata},
		`{"capture":"full"}`:       {Logging: gateway.LogAsync, Sample: 1, Capture: gateway.CaptureFull},
	} {
		got, err := gateway.ParseSettings([]byte(config))
		require.NoError(t, err, config)
		require.Equal(t, want, got, config)
	}
	for config, field := range map[string]string{
		`[]`:                       "deployment_config",
		`{"logging":7}`:            "deployment_config",
		`{"logging":"loud"}`:       "deployment_config.logging",
		`{"logging":"sample"}`:     "deployment_config.logging",
		`{"logging":"sample:0"}`:   "deployment_config.logging",
		`{"logging":"sample:1.1"}`: "deployment_config.logging",
		`{"logging":"sample:NaN"}`: "deployment_config.logging",
		`{"logging":"off:1"}`:      "deployment_config.logging",
		`{"capture":"all"}`:        "deployment_config.capture",
	} {
		_, err := gateway.ParseSettings([]byte(config))
		var invalid *domain.InvalidInput
		require.ErrorAs(t, err, &invalid, config)
		require.Equal(t, field, invalid.Field, config)
	}
}
