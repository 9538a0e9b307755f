package readmodel_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// inferred is an inference as a test remembers it.
type inferred struct {
	domain.InferenceMade

	at    time.Time
	label string // the first in the log
}

// answered makes an inference of digits at prod.
func answered(at time.Time, change func(*domain.InferenceMade)) inferred {
	made := domain.InferenceMade{
		InferenceID: domain.NewInferenceID("digits", "prod", at.Format(time.DateOnly), uuid.New()), ModelID: "digits",
		Version: "1", Target: "prod", Outcome: "ok", SampleRate: 1, Prediction: domain.InClear([]byte(`7`)), InferenceTimeMS: 1,
	}
	if change != nil {
		change(&made)
	}
	return inferred{InferenceMade: made, at: at}
}

// infers records inferences at their own times, all of a day.
func (w *world) infers(made ...inferred) {
	w.t.Helper()
	before := w.now
	for _, one := range made {
		w.now = one.at
		stream, formed := one.InferenceID.Stream()
		require.True(w.t, formed)
		w.record(stream, []domain.Event{one.InferenceMade})
	}
	w.now = before
}

// labels records what one source says of an inference.
func (w *world) labels(made inferred, label, source string) {
	w.t.Helper()
	stream, _ := made.InferenceID.Stream()
	w.record(stream, []domain.Event{domain.FeedbackRecorded{
		InferenceID: made.InferenceID, Row: made.Row, Label: json.RawMessage(label), LabelledAt: w.now, Source: source,
	}})
}

func (w *world) analytics(from, to time.Time, bucket time.Duration) readmodel.Analytics {
	w.t.Helper()
	a, err := w.reader.Analytics(w.t.Context(), w.tenant, "digits", readmodel.AnalyticsRange{From: from, To: to, Bucket: bucket})
	require.NoError(w.t, err)
	return a
}

func TestAnalyticsOfAModel(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	began := w.now
	w.train("digits", 0.9)
	w.do(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "prod"})
	deployed := w.now
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	sure, unsure := 0.9, 0.5
	first := answered(noon, func(e *domain.InferenceMade) { e.Confidence, e.InferenceTimeMS = &sure, 10 })
	second := answered(noon.Add(30*time.Second), func(e *domain.InferenceMade) { e.Confidence, e.InferenceTimeMS = &unsure, 20 })
	failed := answered(noon.Add(61*time.Second), func(e *domain.InferenceMade) { e.Outcome, e.InferenceTimeMS = "timeout", 5000 })
	refused := answered(noon, func(e *domain.InferenceMade) { e.Outcome = "bad_request" })
	late := answered(noon.Add(-time.Hour), func(e *domain.InferenceMade) { e.Version = "2" })
	w.infers(first, second, failed, refused, late)
	w.labels(first, `"7"`, "human")
	w.labels(first, `"3"`, "machine") // a second opinion is not counted
	w.labels(second, `8`, "human")
	w.labels(failed, `7`, "human") // nothing was predicted
	w.catchUp(1, 3)

	a := w.analytics(noon, noon.Add(2*time.Minute), time.Minute)
	require.Equal(t, noon, a.From)
	require.EqualValues(t, 3, a.Totals.Inferences)
	require.EqualValues(t, 1, a.Totals.Errors)
	require.InDelta(t, 1.0/3, *a.Totals.ErrorRate, 1e-12)
	require.InDelta(t, 0.7, *a.Totals.MeanConfidence, 1e-9)
	require.EqualValues(t, 2, a.Totals.Labelled)
	require.InDelta(t, 0.5, *a.Totals.Accuracy, 0)
	require.InEpsilon(t, 10, a.Totals.LatencyMS.P50, 0.011)
	require.Len(t, a.Buckets, 2)
	require.Equal(t, noon, a.Buckets[0].Start)
	require.EqualValues(t, 2, a.Buckets[0].Inferences)
	require.Equal(t, noon.Add(time.Minute), a.Buckets[1].Start)
	require.InDelta(t, 1, *a.Buckets[1].ErrorRate, 0)
	require.Nil(t, a.Buckets[1].LatencyMS)
	require.Nil(t, a.Buckets[1].Accuracy)
	require.EqualValues(t, 9, a.Position)

	day := w.analytics(noon, noon.Add(time.Minute), 24*time.Hour)
	require.Equal(t, []time.Time{noon.Add(-12 * time.Hour), noon.Add(12 * time.Hour)}, []time.Time{day.From, day.To}, "whole buckets")
	require.EqualValues(t, 4, day.Totals.Inferences)
	require.Equal(t, []domain.Version{"1", "2"}, []domain.Version{day.Buckets[0].Version, day.Buckets[1].Version})
	require.Equal(t, readmodel.TrainingStats{Started: 1, Completed: 1, MeanDurationMS: new(1500.0)}, day.Trainings)
	require.Equal(t, []readmodel.DeploymentTraffic{{Target: "prod", Version: "1", From: deployed, Weight: 100}}, day.Deployments)
	require.Empty(t, w.analytics(began.Add(-48*time.Hour), began.Add(-47*time.Hour), time.Hour).Deployments)
}

func TestAnalyticsTellHowTrafficMoved(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.train("digits", 0.9)
	w.train("digits", 0.95)
	w.do(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "prod"})
	deployed := w.now
	w.do(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "prod", DeploymentConfig: json.RawMessage(`{"a":1}`)})
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "2", Target: "prod"})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 90, "2": 10}})
	shifted := w.now
	w.do(domain.PromoteRollout{ModelID: "digits", RolloutID: rollout})
	promoted := w.now
	w.catchUp(1, 500)
	require.Equal(t, []readmodel.DeploymentTraffic{
		{Target: "prod", Version: "1", From: deployed, To: &shifted, Weight: 100},
		{Target: "prod", Version: "1", From: shifted, To: &promoted, Weight: 90},
		{Target: "prod", Version: "2", From: shifted, To: &promoted, Weight: 10},
		{Target: "prod", Version: "2", From: promoted, Weight: 100},
	}, w.analytics(deployed, promoted.Add(time.Hour), time.Hour).Deployments)
}

func TestAnalyticsRefuseWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.catchUp(1, 500)
	for field, asked := range map[string]readmodel.AnalyticsRange{
		"bucket": {From: w.now, To: w.now.Add(1501 * time.Minute), Bucket: time.Minute},
		"from":   {From: w.now, To: w.now, Bucket: time.Hour},
	} {
		_, err := w.reader.Analytics(t.Context(), "acme", "digits", asked)
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	_, err := w.reader.Analytics(t.Context(), "acme", "digits", readmodel.AnalyticsRange{
		From: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Bucket: 24 * time.Hour,
	})
	require.ErrorIs(t, err, domain.ErrInvalidInput)
	_, err = w.reader.Analytics(t.Context(), "acme", "nobody", readmodel.AnalyticsRange{From: w.now, To: w.now.Add(time.Hour), Bucket: time.Hour})
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = w.reader.Analytics(t.Context(), "other", "digits", readmodel.AnalyticsRange{From: w.now, To: w.now.Add(time.Hour), Bucket: time.Hour})
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// No number that the log can hold stops the projection.
func TestExtremeLatenciesAreMeasured(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	for _, took := range []float64{0, math.SmallestNonzeroFloat64, 1e-6, math.MaxFloat64} {
		w.infers(answered(w.now, func(e *domain.InferenceMade) { e.InferenceTimeMS = took }))
	}
	w.catchUp(1, 2)
	totals := w.analytics(w.now, w.now.Add(time.Hour), time.Hour).Totals
	require.EqualValues(t, 4, totals.Inferences)
	require.Less(t, totals.LatencyMS.P50, 1e-5)
	require.Less(t, totals.LatencyMS.P99, 1.011*float64(24*time.Hour.Milliseconds()))
}

// Whatever comes in whatever order and batches, the rows are the same, and the answer is what counting all of it says.
func TestAnalyticsDoNotDependOnBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 2))
		w := h.world(domain.Tenant(fmt.Sprintf("tenant-%d", seed)))
		w.create("digits", nil)
		from := w.now.Truncate(24 * time.Hour)
		made := w.traffic(random, from, func() { h.catchUp(1, 1+random.IntN(20)) })
		h.catchUp(1, 500)
		h.catchUp(2, 1)
		h.catchUp(3, 500)
		live := h.rows(w.tenant, 1)
		require.NotEmpty(t, live["inference_bucket"])
		require.NotEmpty(t, live["inference_label"])
		require.Equal(t, live, h.rows(w.tenant, 2), "seed %d, one by one", seed)
		require.Equal(t, live, h.rows(w.tenant, 3), "seed %d, in one batch", seed)
		for _, bucket := range []time.Duration{time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour} {
			agreeOnTotals(t, made, w.analytics(from, from.Add(24*time.Hour), bucket))
		}
	}
}

// traffic records a day of inferences, some of them late, with labels before and long after them, some twice.
func (w *world) traffic(random *rand.Rand, from time.Time, pause func()) []inferred {
	w.t.Helper()
	var made []*inferred
	label := func(one *inferred) {
		text := strconv.Itoa(random.IntN(3))
		if one.label == "" {
			one.label = text
		}
		w.labels(*one, text, uuid.NewString())
	}
	for range 200 {
		one := answered(from.Add(time.Duration(random.Int64N(int64(24*time.Hour)))), func(e *domain.InferenceMade) {
			confidence := random.Float64()
			e.Confidence, e.InferenceTimeMS = &confidence, random.ExpFloat64()*20
			e.Version = domain.Version(strconv.Itoa(1 + random.IntN(2)))
			e.Prediction = domain.InClear([]byte(fmt.Sprintf(`"%d"`, random.IntN(3))))
			switch random.IntN(10) {
			case 0:
				e.Outcome = "internal"
			case 1:
				e.Outcome = "bad_request"
			case 2:
				e.Prediction = domain.Content{Sealed: &domain.Sealed{Key: uuid.NewString()}}
			case 3:
				e.InferenceTimeMS = 0
			}
		})
		made = append(made, &one)
		if random.IntN(8) == 0 {
			label(&one)
		}
		w.infers(one)
		for range random.IntN(3) {
			label(made[random.IntN(len(made))])
		}
		if random.IntN(20) == 0 {
			pause()
		}
	}
	all := make([]inferred, len(made))
	for i, one := range made {
		all[i] = *one
	}
	return all
}

// agreeOnTotals counts again, in the plainest way.
func agreeOnTotals(t *testing.T, made []inferred, a readmodel.Analytics) {
	t.Helper()
	var inferences, failures, labelled, right int64
	var confidence float64
	var latencies []float64
	for _, one := range made {
		if one.Outcome == "bad_request" {
			continue
		}
		inferences++
		if one.Outcome != "ok" {
			failures++
			continue
		}
		confidence += *one.Confidence
		latencies = append(latencies, one.InferenceTimeMS)
		if one.label != "" && one.Prediction.Sealed == nil {
			labelled++
			if fmt.Sprintf(`"%s"`, one.label) == string(one.Prediction.Clear) {
				right++
			}
		}
	}
	require.Equal(t, inferences, a.Totals.Inferences)
	require.Equal(t, failures, a.Totals.Errors)
	require.Equal(t, labelled, a.Totals.Labelled)
	require.Greater(t, labelled, int64(50))
	require.InDelta(t, float64(right)/float64(labelled), *a.Totals.Accuracy, 1e-12)
	require.InDelta(t, confidence/float64(len(latencies)), *a.Totals.MeanConfidence, 1e-9)
	slices.Sort(latencies)
	for q, got := range map[float64]float64{0.5: a.Totals.LatencyMS.P50, 0.9: a.Totals.LatencyMS.P90, 0.99: a.Totals.LatencyMS.P99} {
		require.InEpsilon(t, latencies[int(q*float64(len(latencies)-1))], got, 0.0101, "the quantile %g", q)
	}
	sum := int64(0)
	for _, bucket := range a.Buckets {
		sum += bucket.Inferences
	}
	require.Equal(t, inferences, sum)
}
