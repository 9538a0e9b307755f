package api_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// infer records an answered inference of version 1 at local, of now.
func (h *house) infer() domain.InferenceID {
	h.t.Helper()
	id := domain.NewInferenceID("digits", "local", time.Now().UTC().Format(time.DateOnly), uuid.New())
	confidence := 0.75
	h.handle(domain.RecordInferences{Inferences: []domain.InferenceMade{{
		InferenceID: id, ModelID: "digits", Version: "1", Target: "local", Prediction: domain.InClear([]byte(`7`)),
		Confidence: &confidence, InferenceTimeMS: 12, Outcome: "ok", SampleRate: 1,
	}}})
	return id
}

func TestAnalytics(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.furnish()
	id := h.infer()
	h.post("/api/v1/feedback", object{"feedback": []object{{"inference_id": string(id), "label": 7}}}).as(http.StatusOK)

	const path = "/api/v1/models/digits/analytics"
	fresh := map[string]string{"Phantom-Min-Position": "2"}
	answer := h.do(request{path: path, header: fresh})
	got := answer.as(http.StatusOK)
	require.EqualValues(t, 2, answer.position())
	require.InDelta(t, 2, got["position"], 0)
	require.Equal(t, "1h", got["bucket"])
	totals := got["totals"].(object)
	latency := totals["latency_ms"].(object)
	delete(totals, "latency_ms")
	require.Equal(t, object{"inferences": 1.0, "errors": 0.0, "error_rate": 0.0, "mean_confidence": 0.75, "accuracy": 1.0, "labelled": 1.0}, totals)
	require.InEpsilon(t, 12, latency["p99"], 0.011)
	bucket := got["buckets"].([]any)[0].(object)
	require.Equal(t, "1", bucket["version"])
	require.Equal(t, "local", bucket["target"])
	require.InDelta(t, 1, bucket["inferences"], 0)
	require.Equal(t, object{"started": 1.0, "completed": 1.0, "failed": 0.0, "mean_duration_ms": 1500.0}, got["trainings"])
	require.Len(t, got["deployments"], 1)
	require.InDelta(t, 100, got["deployments"].([]any)[0].(object)["weight"], 0)

	past := h.get(path + "?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z&bucket=1d").as(http.StatusOK)
	require.Equal(t, []any{}, past["buckets"])
	require.Equal(t, []any{}, past["deployments"])
	require.Nil(t, past["totals"].(object)["error_rate"])
	require.Equal(t, "2020-01-02T00:00:00Z", past["to"])

	for query, field := range map[string]string{
		"bucket=1m&from=2020-01-01T00:00:00Z": "bucket",
		"bucket=7m":                           "bucket",
		"from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z":           "from",
		"from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59Z&bucket=1d": "to",
		"from=yesterday": "from",
	} {
		require.Equal(t, []string{field}, h.get(path+"?"+query).problem(http.StatusUnprocessableEntity, "invalid_input"), query)
	}
	h.get("/api/v1/models/nobody/analytics").problem(http.StatusNotFound, "not_found")
}

// A position of one log says nothing of the other: the wait is for the inference log.
func TestAnalyticsWaitForTheInferenceLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.furnish()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 1; n <= 3; n++ {
		h.infer()
		got := h.do(request{path: "/api/v1/models/digits/analytics", header: map[string]string{"Phantom-Min-Position": strconv.Itoa(n)}})
		require.InDelta(t, n, got.as(http.StatusOK)["totals"].(object)["inferences"], 0)
	}
	require.NoError(t, h.runner.WaitFor(ctx, readmodel.InferenceActivityName, string(h.tenant), 3))
	require.NotNil(t, h.get("/api/v1/models/digits").as(http.StatusOK)["last_inference_at"])
}
