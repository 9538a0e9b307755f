package readmodel

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"phantom/domain"
	"phantom/eventstore"
)

// InferenceAnalytics is the projection that measures each version at each target in buckets of time.
//
// A label finds its inference by the id of its event: within the batch, else in the log itself, so that nothing has
// to be kept of each inference. A label that comes before its inference waits in phantom.inference_label.
type InferenceAnalytics struct{}

// Name is that of its checkpoints.
func (InferenceAnalytics) Name() string { return InferenceAnalyticsName }

// Log is the inference log.
func (InferenceAnalytics) Log() eventstore.Log { return eventstore.Inference }

// Types are all events of the inference log.
func (InferenceAnalytics) Types() []string {
	return types(domain.InferenceMade{}, domain.FeedbackRecorded{})
}

// The sizes of the stored buckets, in minutes.
const (
	minuteBucket = 1
	hourBucket   = 60
)

// bucketKey names a row of phantom.inference_bucket.
type bucketKey struct {
	model   domain.ModelID
	minutes int16
	start   time.Time // UTC
	version domain.Version
	target  domain.Target
}

func keyOf(made recorded, e domain.InferenceMade, minutes int16) bucketKey {
	return bucketKey{
		model: made.model, minutes: minutes, version: e.Version, target: e.Target,
		start: made.OccurredAt.Truncate(time.Duration(minutes) * time.Minute),
	}
}

// counts tells whether an inference says something of its version: what the client got wrong does not.
func counts(e domain.InferenceMade) bool { return e.Outcome != outcomeBadRequest }

const outcomeBadRequest = "bad_request"

// predicted is the prediction that a label can judge, or "".
func predicted(e domain.InferenceMade) string {
	if e.Outcome != outcomeOK {
		return ""
	}
	return domain.ScalarText(e.Prediction.Clear)
}

// labelDigest is what is kept of a label: enough to compare it.
func labelDigest(scalar string) string {
	sum := sha256.Sum256([]byte(scalar))
	return string(sum[:16])
}

// inferenceOf is the id of the event that a label is about.
func inferenceOf(e domain.FeedbackRecorded) uuid.UUID {
	return domain.InferenceMade{InferenceID: e.InferenceID, Row: e.Row}.ID()
}

// Apply adds a batch to its buckets. That it is added once is the checkpoint's doing, which also keeps others from the
// rows meanwhile.
func (InferenceAnalytics) Apply(ctx context.Context, tx pgx.Tx, generation int, events []eventstore.Event) error {
	facts, err := decode(events)
	if err != nil {
		return err
	}
	f := analyticsFold{
		scope: scope{tenant: events[0].TenantID, generation: generation},
		made:  map[uuid.UUID]recorded{}, labels: map[uuid.UUID]string{}, added: map[bucketKey]*measure{},
	}
	if err := f.load(ctx, tx, facts); err != nil {
		return err
	}
	for _, fact := range facts {
		if err := f.apply(fact); err != nil {
			return err
		}
	}
	return f.write(ctx, tx)
}

// analyticsFold adds up a batch.
type analyticsFold struct {
	scope  scope
	made   map[uuid.UUID]recorded // inferences that stand before the event at hand and that the batch is about
	labels map[uuid.UUID]string   // digests of the first labels, likewise
	fresh  []uuid.UUID            // labels that are not stored yet
	added  map[bucketKey]*measure
}

const labelsSQL = `
select inference_id, label_digest from phantom.inference_label
where tenant_id = $1 and generation = $2 and inference_id = any ($3)`

const labelledSQL = `
select e.position, e.event_id, e.tenant_id, e.aggregate_type, e.aggregate_id, e.aggregate_version, e.event_type,
	e.event_version, e.event_data, e.metadata, e.occurred_at, e.recorded_at
from inference.events e
where e.tenant_id = $1 and e.event_id = any ($2) and e.position < $3 and e.event_type = 'InferenceMade'`

// load reads the stored labels of the batch's inferences and labels, and the inferences from before the batch that
// its labels are about.
func (f *analyticsFold) load(ctx context.Context, tx pgx.Tx, facts []recorded) error {
	var ids, before []uuid.UUID
	within := map[uuid.UUID]bool{}
	for _, fact := range facts {
		switch e := fact.Event.(type) {
		case domain.InferenceMade:
			within[e.ID()] = true
			ids = append(ids, e.ID())
		case domain.FeedbackRecorded:
			id := inferenceOf(e)
			ids = append(ids, id)
			if !within[id] {
				before = append(before, id)
			}
		default:
		}
	}
	var batch pgx.Batch
	var labels []struct {
		InferenceID uuid.UUID
		LabelDigest []byte
	}
	var made []eventstore.Event
	collect(&batch, &labels, labelsSQL, f.scope.tenant, f.scope.generation, ids)
	if len(before) > 0 {
		collect(&batch, &made, labelledSQL, f.scope.tenant, before, facts[0].Position)
	}
	if err := send(ctx, tx, &batch); err != nil {
		return err
	}
	for _, label := range labels {
		f.labels[label.InferenceID] = string(label.LabelDigest)
	}
	inferences, err := decode(made)
	if err != nil {
		return err
	}
	for i, inference := range inferences {
		f.made[made[i].EventID] = inference
	}
	return nil
}

func (f *analyticsFold) apply(r recorded) error {
	switch e := r.Event.(type) {
	case domain.InferenceMade:
		id := e.ID()
		f.made[id] = r
		if !counts(e) {
			return nil
		}
		for _, m := range f.buckets(r, e) {
			if err := m.add(e); err != nil {
				return fmt.Errorf("inference %s: %w", e.InferenceID, err)
			}
		}
		if label, waits := f.labels[id]; waits {
			f.judge(r, e, label)
		}
	case domain.FeedbackRecorded:
		id := inferenceOf(e)
		if _, twice := f.labels[id]; twice {
			return nil
		}
		f.labels[id] = labelDigest(domain.ScalarText(e.Label))
		f.fresh = append(f.fresh, id)
		if made, known := f.made[id]; known {
			inference, _ := made.Event.(domain.InferenceMade)
			f.judge(made, inference, f.labels[id])
		}
	default:
	}
	return nil
}

// judge compares a prediction with the row's first label, in the bucket of the inference.
func (f *analyticsFold) judge(made recorded, e domain.InferenceMade, label string) {
	prediction := predicted(e)
	if prediction == "" {
		return
	}
	for _, m := range f.buckets(made, e) {
		m.judge(labelDigest(prediction) == label)
	}
}

// buckets are what the batch adds to the minute and the hour of an inference.
func (f *analyticsFold) buckets(made recorded, e domain.InferenceMade) [2]*measure {
	var found [2]*measure
	for i, minutes := range []int16{minuteBucket, hourBucket} {
		key := keyOf(made, e, minutes)
		if f.added[key] == nil {
			f.added[key] = &measure{}
		}
		found[i] = f.added[key]
	}
	return found
}
