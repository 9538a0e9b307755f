package readmodel

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
)

// bucketRow is a row of phantom.inference_bucket.
type bucketRow struct {
	ModelID        domain.ModelID
	Minutes        int16
	Start          time.Time
	Version        domain.Version
	Target         domain.Target
	Inferences     int64
	Errors         int64
	Confident      int64
	ConfidenceNano int64
	Labelled       int64
	Correct        int64
	Latency        []byte
}

const bucketColumns = `b.model_id, b.minutes, b.start, b.version, b.target, b.inferences, b.errors, b.confident,
	b.confidence_nano, b.labelled, b.correct, b.latency`

func (b bucketRow) key() bucketKey {
	return bucketKey{model: b.ModelID, minutes: b.Minutes, start: b.Start.UTC(), version: b.Version, target: b.Target}
}

func (b bucketRow) measure() (measure, error) {
	latency, err := decodeLatency(b.Latency)
	return measure{
		inferences: b.Inferences, errors: b.Errors, confident: b.Confident, confidenceNano: b.ConfidenceNano,
		labelled: b.Labelled, correct: b.Correct, latency: latency,
	}, err
}

const loadBucketsSQL = `
select ` + bucketColumns + `
from unnest($3::text[], $4::smallint[], $5::timestamptz[], $6::text[], $7::text[]) as k (model_id, minutes, start, version, target)
join phantom.inference_bucket b on b.tenant_id = $1 and b.generation = $2 and b.model_id = k.model_id
	and b.minutes = k.minutes and b.start = k.start and b.version = k.version and b.target = k.target`

const storeBucketsSQL = `
insert into phantom.inference_bucket as b (tenant_id, generation, model_id, minutes, start, version, target,
	inferences, errors, confident, confidence_nano, labelled, correct, latency)
select $1, $2, * from unnest($3::text[], $4::smallint[], $5::timestamptz[], $6::text[], $7::text[],
	$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[])
on conflict on constraint inference_bucket_pkey do update set
	inferences = excluded.inferences, errors = excluded.errors, confident = excluded.confident,
	confidence_nano = excluded.confidence_nano, labelled = excluded.labelled, correct = excluded.correct,
	latency = excluded.latency`

const storeLabelsSQL = `
insert into phantom.inference_label (tenant_id, generation, inference_id, label_digest)
select $1, $2, * from unnest($3::uuid[], $4::bytea[])`

// bucketArrays are the keys and sums of rows, column by column, as the statements take them.
type bucketArrays struct {
	models, versions, targets                                        []string
	minutes                                                          []int16
	starts                                                           []time.Time
	inferences, errors, confident, confidenceNano, labelled, correct []int64
	latency                                                          [][]byte
}

func (a *bucketArrays) key(k bucketKey) {
	a.models, a.minutes, a.starts = append(a.models, string(k.model)), append(a.minutes, k.minutes), append(a.starts, k.start)
	a.versions, a.targets = append(a.versions, string(k.version)), append(a.targets, string(k.target))
}

func (a *bucketArrays) sums(m *measure) {
	a.inferences, a.errors = append(a.inferences, m.inferences), append(a.errors, m.errors)
	a.confident, a.confidenceNano = append(a.confident, m.confident), append(a.confidenceNano, m.confidenceNano)
	a.labelled, a.correct = append(a.labelled, m.labelled), append(a.correct, m.correct)
	a.latency = append(a.latency, m.encoded())
}

// write merges what the batch added into the stored buckets: one statement reads them, one writes them.
func (f *analyticsFold) write(ctx context.Context, tx pgx.Tx) error {
	if err := f.mergeStored(ctx, tx); err != nil {
		return err
	}
	var batch pgx.Batch
	if len(f.added) > 0 {
		var a bucketArrays
		for _, key := range f.touched() {
			a.key(key)
			a.sums(f.added[key])
		}
		batch.Queue(storeBucketsSQL, f.scope.tenant, f.scope.generation, a.models, a.minutes, a.starts, a.versions, a.targets,
			a.inferences, a.errors, a.confident, a.confidenceNano, a.labelled, a.correct, a.latency)
	}
	if len(f.fresh) > 0 {
		digests := make([][]byte, len(f.fresh))
		for i, id := range f.fresh {
			digests[i] = []byte(f.labels[id])
		}
		batch.Queue(storeLabelsSQL, f.scope.tenant, f.scope.generation, f.fresh, digests)
	}
	return send(ctx, tx, &batch)
}

func (f *analyticsFold) mergeStored(ctx context.Context, tx pgx.Tx) error {
	if len(f.added) == 0 {
		return nil
	}
	var a bucketArrays
	for _, key := range f.touched() {
		a.key(key)
	}
	var batch pgx.Batch
	var rows []bucketRow
	collect(&batch, &rows, loadBucketsSQL, f.scope.tenant, f.scope.generation, a.models, a.minutes, a.starts, a.versions, a.targets)
	if err := send(ctx, tx, &batch); err != nil {
		return err
	}
	for _, row := range rows {
		stored, err := row.measure()
		if err != nil {
			return err
		}
		if err := f.added[row.key()].merge(stored); err != nil {
			return err
		}
	}
	return nil
}

// touched are the keys of what the batch added, always in one order.
func (f *analyticsFold) touched() []bucketKey {
	keys := make([]bucketKey, 0, len(f.added))
	for key := range f.added {
		keys = append(keys, key)
	}
	sortBuckets(keys)
	return keys
}

func sortBuckets(keys []bucketKey) {
	slices.SortFunc(keys, func(a, b bucketKey) int {
		return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.minutes, b.minutes), a.start.Compare(b.start),
			cmp.Compare(a.version, b.version), cmp.Compare(a.target, b.target))
	})
}
