package api_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// answered records inferences of version 1 that took 10, 20, … ms, and waits until analytics show them.
// It returns their ids.
func (h *house) answered(n int) []domain.InferenceID {
	h.t.Helper()
	day, confidence := time.Now().UTC().Format(time.DateOnly), 0.5
	var made []domain.InferenceMade
	var ids []domain.InferenceID
	for i := range n {
		id := domain.NewInferenceID("digits", "local", day, uuid.New())
		ids = append(ids, id)
		made = append(made, domain.InferenceMade{
			InferenceID: id, ModelID: "digits", Version: "1", Target: "local", Confidence: &confidence, Outcome: "ok",
			Prediction: domain.Content{Clear: []byte(`7`)}, InferenceTimeMS: float64(10 * (i + 1)), SampleRate: 1,
		})
	}
	h.counted(h.handle(domain.RecordInferences{Inferences: made}).Position)
	return ids
}

// counted waits until analytics have seen a position of the inference log.
func (h *house) counted(position int64) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	require.NoError(h.t, h.runner.WaitFor(ctx, readmodel.InferenceAnalyticsName, string(h.tenant), position))
}

func TestAnalyticsOfAModel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.furnish()
	ids := h.answered(10)
	h.post(feedbackPath, object{"feedback": []any{
		object{"inference_id": string(ids[0]), "label": "7"},
		object{"inference_id": string(ids[1]), "label": 7},
		object{"inference_id": string(ids[2]), "label": 8},
		object{"inference_id": string(ids[2]), "label": 7, "source": "late"},
	}}).as(http.StatusOK)
	h.counted(14)

	answer := h.get("/api/v1/models/digits/analytics")
	found := answer.as(http.StatusOK)
	totals := found["totals"].(object)
	require.EqualValues(t, 10, totals["inferences"])
	require.EqualValues(t, 0, totals["error_rate"])
	require.InDelta(t, 0.5, totals["mean_confidence"], 1e-9)
	require.EqualValues(t, 3, totals["labelled"])
	require.InDelta(t, 2.0/3, totals["accuracy"], 1e-9)
	require.InEpsilon(t, 50, totals["latency_ms"].(object)["p50"], 0.0100001)
	require.InEpsilon(t, 90, totals["latency_ms"].(object)["p99"], 0.0100001)
	require.Equal(t, "1h", found["bucket"])
	buckets := found["buckets"].([]any)
	require.NotEmpty(t, buckets)
	first := buckets[0].(object)
	require.Equal(t, []any{"1", "local"}, []any{first["version"], first["target"]})
	require.Contains(t, first, "error_rate")
	trainings := found["trainings"].(object)
	require.Equal(t, []any{1.0, 1.0, 0.0}, []any{trainings["started"], trainings["completed"], trainings["failed"]})
	require.NotNil(t, trainings["mean_duration_ms"])
	served := found["deployments"].([]any)
	require.Len(t, served, 1)
	require.Equal(t, object{"target": "local", "version": "1", "weight": 100.0, "to": nil, "from": served[0].(object)["from"]}, served[0])
	require.EqualValues(t, answer.position(), found["position"])
	require.Positive(t, answer.position())
	require.ElementsMatch(t, []string{
		"model_id", "from", "to", "bucket", "totals", "buckets", "trainings", "deployments", "position",
	}, namesOf(found))

	past := h.get("/api/v1/models/digits/analytics?from=2026-01-01T10:00:30Z&to=2026-01-01T12:00:00Z&bucket=90m").as(http.StatusOK)
	require.Equal(t, []any{"2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z", "1h30m"}, []any{past["from"], past["to"], past["bucket"]})
	require.Equal(t, object{
		"inferences": 0.0, "errors": 0.0, "error_rate": nil, "mean_confidence": nil, "latency_ms": nil, "accuracy": nil, "labelled": 0.0,
	}, past["totals"])
	require.Equal(t, []any{}, past["buckets"])
	require.Equal(t, []any{}, past["deployments"])

	h.tenant = "somebody-else"
	h.get("/api/v1/models/digits/analytics").problem(http.StatusNotFound, "not_found")
}

func namesOf(o object) []string {
	var names []string
	for name := range o {
		names = append(names, name)
	}
	return names
}

// A rolled-out version that ended says which share it had, and until when.
func TestAnalyticsOfWhatServedBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.furnish()
	rollout := domain.RolloutID(uuid.NewString())
	h.handle(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "2", Target: "local"})
	h.handle(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 70, "2": 30}})
	h.settled(h.handle(domain.RollBackRollout{ModelID: "digits", RolloutID: rollout, Reason: "worse"}))
	var said []string
	for _, d := range h.get("/api/v1/models/digits/analytics").as(http.StatusOK)["deployments"].([]any) {
		d := d.(object)
		said = append(said, fmt.Sprintf("%v %v%% ended %v", d["version"], d["weight"], d["to"] != nil))
	}
	require.Equal(t, []string{"2 30% ended true", "1 100% ended false"}, said)
}

func TestAnalyticsRefuse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	for query, field := range map[string]string{
		"bucket=1m": "bucket", "bucket=90s": "bucket", "bucket=soon": "bucket", "bucket=-1h": "bucket", "bucket=0s": "bucket",
		"from=yesterday": "from", "to=1": "to", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "from", "from=2020-01-01T00:00:00Z": "from",
	} {
		require.Equal(t, []string{field}, h.get("/api/v1/models/digits/analytics?"+query).problem(http.StatusUnprocessableEntity, "invalid_input"), query)
	}
	require.Equal(t, []string{"as_of"}, h.get("/api/v1/models/digits/analytics?as_of=1").problem(http.StatusBadRequest, "as_of_not_supported"))
	h.get("/api/v1/models/nope/analytics").problem(http.StatusNotFound, "not_found")
}
