package readmodel_test

import (
	"encoding/json"
	"fmt"
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

// answers records inferences and labels of digits at random, and knows what they come to.
type answers struct {
	*world

	random    *rand.Rand
	latencies []float64
	errors    int64
	labels    int64
	correct   int64
	sum       float64
}

func (a *answers) id() domain.InferenceID {
	return domain.NewInferenceID("digits", "prod", a.now.Format(time.DateOnly), uuid.New())
}

func (a *answers) log(events ...domain.Event) {
	a.record(domain.InferenceStream("digits", "prod", a.now.Format(time.DateOnly)), events)
}

// answer makes one inference; its label stands before it, beside it, or some events later.
func (a *answers) answer() {
	a.now = a.now.Add(time.Duration(a.random.IntN(20)) * time.Second)
	class, confidence := a.random.IntN(3), a.random.Float64()
	made := domain.InferenceMade{
		InferenceID: a.id(), ModelID: "digits", Target: "prod", Version: domain.Version(strconv.Itoa(1 + a.random.IntN(2))),
		Prediction: domain.Content{Clear: []byte(strconv.Itoa(class))}, Confidence: &confidence,
		InferenceTimeMS: a.random.ExpFloat64() * 40, Outcome: "ok", SampleRate: 1,
	}
	if a.random.IntN(10) == 0 {
		made.Outcome, made.Prediction, made.Confidence = "timeout", domain.Content{}, nil
		a.errors++
	} else {
		a.sum += confidence
	}
	a.latencies = append(a.latencies, made.InferenceTimeMS)
	label := a.random.IntN(3)
	judged := domain.FeedbackRecorded{InferenceID: made.InferenceID, Label: fmt.Appendf(nil, `"%d"`, label), LabelledAt: a.now, Source: "a"}
	again := judged
	again.Label, again.Source = json.RawMessage(`"9"`), "b"
	switch a.random.IntN(4) {
	case 0:
		a.log(made)
		return
	case 1:
		a.log(judged)
		a.log(made)
	case 2:
		a.log(made, judged)
	case 3:
		a.log(made)
		a.log(judged, again)
	}
	if made.Outcome == "ok" {
		a.labels++
		if label == class {
			a.correct++
		}
	}
}

func newAnswers(h *house, tenant domain.Tenant, seed uint64) *answers {
	a := &answers{world: h.world(tenant), random: rand.New(rand.NewPCG(seed, 2))}
	a.create("digits", nil)
	return a
}

func (a *answers) ask(bucket time.Duration) readmodel.Analytics {
	a.t.Helper()
	found, err := a.reader.GetAnalytics(a.t.Context(), a.tenant, "digits", readmodel.AnalyticsFilter{
		From: a.now.Add(-24 * time.Hour), To: a.now.Add(time.Minute), Bucket: bucket,
	})
	require.NoError(a.t, err)
	return found
}

// Whatever the batches, the rows are the same, and the sums are those of the events.
func TestAnalyticsDoNotDependOnBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := newAnswers(h, "acme", 1)
	for i := range 300 {
		a.answer()
		if i%97 == 0 {
			h.catchUp(1, 1+a.random.IntN(20))
		}
	}
	h.catchUp(1, 7)
	h.catchUp(2, 1)
	h.catchUp(3, 1000)
	live := h.rows("acme", 1)
	require.NotEmpty(t, live["inference_bucket"])
	require.NotEmpty(t, live["inference_label"])
	require.Equal(t, live, h.rows("acme", 2), "a rebuild event by event")
	require.Equal(t, live, h.rows("acme", 3), "a rebuild in one batch")

	found := a.ask(time.Hour)
	n := int64(len(a.latencies))
	require.Equal(t, n, found.Totals.Inferences)
	require.Equal(t, a.errors, found.Totals.Errors)
	require.InDelta(t, float64(a.errors)/float64(n), *found.Totals.ErrorRate, 1e-9)
	require.InDelta(t, a.sum/float64(n-a.errors), *found.Totals.MeanConfidence, 1e-8)
	require.Equal(t, a.labels, found.Totals.Labelled)
	require.InDelta(t, float64(a.correct)/float64(a.labels), *found.Totals.Accuracy, 1e-9)
	slices.Sort(a.latencies)
	for q, got := range map[float64]float64{0.5: found.Totals.LatencyMS.P50, 0.9: found.Totals.LatencyMS.P90, 0.99: found.Totals.LatencyMS.P99} {
		require.InEpsilon(t, a.latencies[int(q*float64(n-1))], got, 0.0100001, "quantile %v", q)
	}
	var sum int64
	versions := map[domain.Version]bool{}
	for _, b := range found.Buckets {
		require.Equal(t, b.Start, b.Start.Truncate(time.Hour))
		sum += b.Inferences
		versions[b.Version] = true
	}
	require.Equal(t, n, sum)
	require.Len(t, versions, 2)
	require.Equal(t, found.Totals, a.ask(3*time.Minute).Totals, "however the time is cut")
}

// What a tenant asks is never another's, and a sealed prediction is judged by no label.
func TestAnalyticsAreATenantsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	busy, idle := newAnswers(h, "acme", 3), newAnswers(h, "other", 4)
	for range 20 {
		busy.answer()
	}
	made := domain.InferenceMade{
		InferenceID: idle.id(), ModelID: "digits", Target: "prod", Version: "1", Outcome: "ok", SampleRate: 1,
		Prediction: domain.Content{Erased: true}, InferenceTimeMS: 0,
	}
	idle.log(made, domain.FeedbackRecorded{InferenceID: made.InferenceID, Label: []byte(`"1"`), LabelledAt: idle.now, Source: "a"})
	h.catchUp(1, 100)
	found := idle.ask(time.Hour)
	require.EqualValues(t, 1, found.Totals.Inferences)
	require.Zero(t, found.Totals.Labelled)
	require.Nil(t, found.Totals.Accuracy)
	require.Nil(t, found.Totals.MeanConfidence)
	require.Zero(t, found.Totals.LatencyMS.P99)
	_, err := h.reader.GetAnalytics(t.Context(), "third", "digits", readmodel.AnalyticsFilter{
		From: idle.now.Add(-time.Hour), To: idle.now, Bucket: time.Hour,
	})
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestAnalyticsRefuseWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", nil)
	h.catchUp(1, 10)
	day := 24 * time.Hour
	for field, f := range map[string]readmodel.AnalyticsFilter{
		"bucket: must be whole": {From: w.now.Add(-day), To: w.now, Bucket: 90 * time.Second},
		"from: must be before":  {From: w.now, To: w.now.Add(-day), Bucket: time.Hour},
		"ask for 2m or more":    {From: w.now.Add(-day), To: w.now, Bucket: time.Minute},
		"at most 31 days":       {From: w.now.Add(-32 * day), To: w.now, Bucket: time.Hour},
	} {
		_, err := h.reader.GetAnalytics(t.Context(), "acme", "digits", f)
		require.ErrorIs(t, err, domain.ErrInvalidInput)
		require.ErrorContains(t, err, field)
	}
	empty, err := h.reader.GetAnalytics(t.Context(), "acme", "digits", readmodel.AnalyticsFilter{From: w.now.Add(-day), To: w.now, Bucket: 2 * time.Minute})
	require.NoError(t, err)
	require.Nil(t, empty.Totals.LatencyMS)
	require.Nil(t, empty.Totals.ErrorRate)
	require.Equal(t, []readmodel.AnalyticsBucket{}, empty.Buckets)
	require.Equal(t, []readmodel.AnalyticsDeployment{}, empty.Deployments)
	require.Nil(t, empty.Trainings.MeanDurationMS)
}
