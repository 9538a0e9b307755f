package readmodel

import (
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// InferenceActivity is the projection that counts a model's inferences.
type InferenceActivity struct {
	byModel
	leisurely
}

// Name is that of its checkpoints.
func (InferenceActivity) Name() string { return InferenceActivityName }

// Log is the inference log.
func (InferenceActivity) Log() eventstore.Log { return eventstore.Inference }

// Types are all events of the inference log.
func (InferenceActivity) Types() []string {
	return types(domain.InferenceMade{}, domain.FeedbackRecorded{})
}

// Tables are all that it writes.
func (InferenceActivity) Tables() []projection.Table {
	return []projection.Table{{Name: "model_activity", Kind: projection.Counted}}
}

// activity is what a batch adds to a model's counts.
type activity struct {
	inferences, errors, labels int64
	first, last                *time.Time
}

const countActivitySQL = `
insert into phantom.model_activity as a
	(tenant_id, generation, model_id, inferences, errors, labels, first_inference_at, last_inference_at)
select $1, $2, c.model_id, c.inferences, c.errors, c.labels, c.first_at, c.last_at
from unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::timestamptz[])
	as c (model_id, inferences, errors, labels, first_at, last_at)
on conflict on constraint model_activity_pkey do update
set inferences = a.inferences + excluded.inferences,
	errors = a.errors + excluded.errors,
	labels = a.labels + excluded.labels,
	first_inference_at = least(a.first_inference_at, excluded.first_inference_at),
	last_inference_at = greatest(a.last_inference_at, excluded.last_inference_at)`

// Apply adds a batch's counts. That it is added once is the checkpoint's doing.
func (InferenceActivity) Apply(_ *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	counts := map[domain.ModelID]*activity{}
	for _, fact := range facts {
		count, known := counts[fact.model]
		if !known {
			count = &activity{}
			counts[fact.model] = count
		}
		count.add(fact)
	}
	var inferences, failures, labels []int64
	var first, last []*time.Time
	ids := models(facts)
	for _, id := range ids {
		c := counts[id]
		inferences, failures, labels = append(inferences, c.inferences), append(failures, c.errors), append(labels, c.labels)
		first, last = append(first, c.first), append(last, c.last)
	}
	return func(write *projection.Rows) error {
		write.Queue(countActivitySQL, events[0].TenantID, generation, ids, inferences, failures, labels, first, last)
		return nil
	}, nil
}

func (a *activity) add(r recorded) {
	switch e := r.Event.(type) {
	case domain.InferenceMade:
		a.inferences++
		if e.Outcome != outcomeOK {
			a.errors++
		}
		if a.first == nil || r.OccurredAt.Before(*a.first) {
			a.first = &r.OccurredAt
		}
		if a.last == nil || r.OccurredAt.After(*a.last) {
			a.last = &r.OccurredAt
		}
	case domain.FeedbackRecorded:
		a.labels++
	default:
	}
}

// outcomeOK is the outcome of an inference that was answered; others are error classes.
const outcomeOK = "ok"
