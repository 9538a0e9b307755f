package readmodel

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// InferenceAnalytics is the projection that counts, by minute, what each version answered at each target.
//
// A label counts in the minute of its inference, and the first of each row only. It is judged by the
// prediction in clear: where that is sealed, erased or not captured, it counts nowhere. The prediction is
// read from the log, where it stands before the label; a label that came first waits in inference_label.
type InferenceAnalytics struct {
	byModel
	leisurely
}

// Name is that of its checkpoints.
func (InferenceAnalytics) Name() string { return InferenceAnalyticsName }

// Log is the inference log.
func (InferenceAnalytics) Log() eventstore.Log { return eventstore.Inference }

// Types are all events of the inference log.
func (InferenceAnalytics) Types() []string {
	return types(domain.InferenceMade{}, domain.FeedbackRecorded{})
}

// Tables are all that it writes.
func (InferenceAnalytics) Tables() []projection.Table {
	return []projection.Table{
		{Name: "inference_bucket", Kind: projection.Counted}, {Name: "inference_label", Kind: projection.Counted},
	}
}

// Apply folds a batch into the buckets that it touches: what it adds is written once.
func (InferenceAnalytics) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	fold := &analyticsFold{
		scope: scope{events[0].TenantID, generation}, buckets: map[bucketKey]*bucketDelta{},
		labels: map[answerKey]*labelRow{}, made: map[answerKey]recorded{}, changed: map[answerKey]bool{},
	}
	fold.ask(&ask.Batch, facts)
	return func(write *projection.Rows) error {
		if err := fold.take(); err != nil {
			return err
		}
		for _, fact := range facts {
			if err := fold.apply(fact); err != nil {
				return fmt.Errorf("event %d: %w", fact.Position, err)
			}
		}
		return fold.write(write)
	}, nil
}

type answerKey struct {
	id  domain.InferenceID
	row int
}

type bucketKey struct {
	model   domain.ModelID
	minute  int64 // Unix seconds
	target  domain.Target
	version domain.Version
}

// bucketRow is a row of phantom.inference_bucket.
type bucketRow struct {
	TenantID      string         `json:"tenant_id"`
	Generation    int            `json:"generation"`
	ModelID       domain.ModelID `json:"model_id"`
	Minute        time.Time      `json:"minute"`
	Target        domain.Target  `json:"target"`
	Version       domain.Version `json:"version"`
	Inferences    int64          `json:"inferences"`
	Errors        int64          `json:"errors"`
	Confidences   int64          `json:"confidences"`
	ConfidenceSum int64          `json:"confidence_sum"`
	Labels        int64          `json:"labels"`
	Correct       int64          `json:"correct"`
	Latency       encoded        `json:"latency"`
}

// Tenant implements projection.Row.
func (b bucketRow) Tenant() string { return b.TenantID }

func (b bucketRow) key() bucketKey { return bucketKey{b.ModelID, b.Minute.Unix(), b.Target, b.Version} }

// bucketDelta is what is added to a bucket.
type bucketDelta struct {
	row     bucketRow
	latency sketch
}

func (d *bucketDelta) add(b bucketRow) error {
	d.row.Inferences += b.Inferences
	d.row.Errors += b.Errors
	d.row.Confidences += b.Confidences
	d.row.ConfidenceSum += b.ConfidenceSum
	d.row.Labels += b.Labels
	d.row.Correct += b.Correct
	return d.latency.merge(b.Latency)
}

// labelRow is a row of phantom.inference_label. Label is nil once the label has met its inference.
type labelRow struct {
	TenantID    string             `json:"tenant_id"`
	Generation  int                `json:"generation"`
	InferenceID domain.InferenceID `json:"inference_id"`
	RowNumber   int                `json:"row_number"`
	Label       *string            `json:"label"`
}

// Tenant implements projection.Row.
func (l labelRow) Tenant() string { return l.TenantID }

type analyticsFold struct {
	scope   scope
	buckets map[bucketKey]*bucketDelta
	labels  map[answerKey]*labelRow
	changed map[answerKey]bool // labels to write
	made    map[answerKey]recorded

	// What was stored before the batch: labels of its answers, answers of its labels, and buckets of its answers.
	known  []labelRow
	logged []eventstore.Event
	stored []bucketRow
}

func answerOf(r recorded) answerKey {
	switch e := r.Event.(type) {
	case domain.InferenceMade:
		return answerKey{e.InferenceID, e.Row}
	case domain.FeedbackRecorded:
		return answerKey{e.InferenceID, e.Row}
	default:
		return answerKey{}
	}
}

const knownLabelsSQL = `
select l.inference_id, l.row_number, l.label
from unnest($3::text[], $4::integer[]) as a (inference_id, row_number)
cross join lateral (
	select * from phantom.inference_label r
	where r.tenant_id = $1 and r.generation = $2 and r.inference_id = a.inference_id and r.row_number = a.row_number
	offset 0) as l`

const judgedInferencesSQL = `
select e.position, e.aggregate_type, e.aggregate_id, e.aggregate_version, e.event_type, e.event_version, e.event_data,
	e.metadata, e.occurred_at, e.recorded_at
from inference.events e
where e.tenant_id = $1 and e.event_id = any($2)`

// ask queues the questions for what was stored before.
func (f *analyticsFold) ask(batch *pgx.Batch, facts []recorded) {
	var ids []domain.InferenceID
	var rows []int
	for _, key := range keys(facts, func(r recorded) (answerKey, bool) { return answerOf(r), true }) {
		ids, rows = append(ids, key.id), append(rows, key.row)
	}
	collect(batch, &f.known, knownLabelsSQL, f.scope.tenant, f.scope.generation, ids, rows)
	var answers []uuid.UUID
	for _, fact := range facts {
		if feedback, is := fact.Event.(domain.FeedbackRecorded); is {
			answers = append(answers, domain.InferenceMade{InferenceID: feedback.InferenceID, Row: feedback.Row}.ID())
		}
	}
	if len(answers) > 0 {
		collect(batch, &f.logged, judgedInferencesSQL, f.scope.tenant, answers)
	}
	var models, targets, versions []string
	var minutes []time.Time
	for _, key := range keys(facts, countedIn) {
		models, targets, versions = append(models, string(key.model)), append(targets, string(key.target)), append(versions, string(key.version))
		minutes = append(minutes, time.Unix(key.minute, 0).UTC())
	}
	if len(models) > 0 {
		collect(batch, &f.stored, touchedBucketsSQL, f.scope.tenant, f.scope.generation, models, minutes, targets, versions)
	}
}

// countedIn is the bucket that an event is counted in.
func countedIn(r recorded) (bucketKey, bool) {
	e, is := r.Event.(domain.InferenceMade)
	return bucketKey{r.model, r.OccurredAt.Truncate(time.Minute).Unix(), e.Target, e.Version}, is
}

// take takes in the answers. Of a bucket only the sketch is needed: PostgreSQL adds what can be added.
func (f *analyticsFold) take() error {
	for _, row := range f.known {
		row.TenantID, row.Generation = f.scope.tenant, f.scope.generation
		f.labels[answerKey{row.InferenceID, row.RowNumber}] = &row
	}
	made, err := decode(f.logged)
	if err != nil {
		return err
	}
	for _, fact := range made {
		f.made[answerOf(fact)] = fact
	}
	for _, row := range f.stored {
		bucket, err := f.bucket(row.key())
		if err != nil {
			return err
		}
		if err := bucket.latency.merge(row.Latency); err != nil {
			return err
		}
	}
	return nil
}

func (f *analyticsFold) apply(fact recorded) error {
	key := answerOf(fact)
	label := f.labels[key]
	switch e := fact.Event.(type) {
	case domain.InferenceMade:
		if err := f.count(fact, e); err != nil {
			return err
		}
		if label == nil || label.Label == nil {
			return nil
		}
		text := *label.Label
		label.Label, f.changed[key] = nil, true
		return f.judge(fact, text)
	case domain.FeedbackRecorded:
		if label != nil {
			return nil
		}
		text := domain.ScalarText(e.Label)
		f.labels[key] = &labelRow{f.scope.tenant, f.scope.generation, key.id, key.row, nil}
		f.changed[key] = true
		if made, is := f.made[key]; is && made.Position < fact.Position {
			return f.judge(made, text)
		}
		f.labels[key].Label = &text
	default:
	}
	return nil
}

func (f *analyticsFold) count(fact recorded, e domain.InferenceMade) error {
	key, _ := countedIn(fact)
	bucket, err := f.bucket(key)
	if err != nil {
		return err
	}
	bucket.row.Inferences++
	if e.Outcome != outcomeOK {
		bucket.row.Errors++
	}
	if e.Confidence != nil {
		bucket.row.Confidences++
		bucket.row.ConfidenceSum += fixedConfidence(*e.Confidence)
	}
	return bucket.latency.add(e.InferenceTimeMS)
}

// judge counts a label of an answer.
func (f *analyticsFold) judge(made recorded, label string) error {
	e, is := made.Event.(domain.InferenceMade)
	prediction := domain.ScalarText(e.Prediction.Clear)
	if !is || e.Outcome != outcomeOK || prediction == "" {
		return nil
	}
	key, _ := countedIn(made)
	bucket, err := f.bucket(key)
	if err != nil {
		return err
	}
	bucket.row.Labels++
	if prediction == label {
		bucket.row.Correct++
	}
	return nil
}

func (f *analyticsFold) bucket(key bucketKey) (*bucketDelta, error) {
	if known, is := f.buckets[key]; is {
		return known, nil
	}
	empty, err := newSketch()
	if err != nil {
		return nil, err
	}
	f.buckets[key] = &bucketDelta{latency: empty, row: bucketRow{
		TenantID: f.scope.tenant, Generation: f.scope.generation, ModelID: key.model, Minute: time.Unix(key.minute, 0).UTC(),
		Target: key.target, Version: key.version,
	}}
	return f.buckets[key], nil
}

const touchedBucketsSQL = `
select b.*
from unnest($3::text[], $4::timestamptz[], $5::text[], $6::text[]) as k (model_id, minute, target, version)
cross join lateral (
	select * from phantom.inference_bucket r
	where r.tenant_id = $1 and r.generation = $2
		and r.model_id = k.model_id and r.minute = k.minute and r.target = k.target and r.version = k.version
	offset 0) as b`

// A bucket that only labels touch keeps its sketch.
const keepBucketsSQL = `
on conflict on constraint inference_bucket_pkey do update
set inferences = inference_bucket.inferences + excluded.inferences, errors = inference_bucket.errors + excluded.errors,
	confidences = inference_bucket.confidences + excluded.confidences,
	confidence_sum = inference_bucket.confidence_sum + excluded.confidence_sum,
	labels = inference_bucket.labels + excluded.labels, correct = inference_bucket.correct + excluded.correct,
	latency = case when excluded.inferences > 0 then excluded.latency else inference_bucket.latency end`

const keepLabelsSQL = `
on conflict on constraint inference_label_pkey do update set label = excluded.label`

func (f *analyticsFold) write(batch *projection.Rows) error {
	rows := make([]bucketRow, 0, len(f.buckets))
	for _, bucket := range f.buckets {
		bucket.row.Latency = bucket.latency.encode()
		rows = append(rows, bucket.row)
	}
	labels := make([]labelRow, 0, len(f.changed))
	for key := range f.changed {
		labels = append(labels, *f.labels[key])
	}
	return errors.Join(
		projection.Store(batch, storeRowsSQL("inference_bucket")+keepBucketsSQL, nil, rows),
		projection.Store(batch, storeRowsSQL("inference_label")+keepLabelsSQL, nil, labels))
}
