package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
)

// whole widens the range to whole buckets, or refuses one that is not asked for well.
func (r AnalyticsRange) whole() (AnalyticsRange, error) {
	switch {
	case r.Bucket < time.Minute || r.Bucket%time.Minute != 0 || r.Bucket > time.Hour && r.Bucket%time.Hour != 0:
		return r, &domain.InvalidInput{Field: "bucket", Reason: "must be whole minutes up to an hour, or whole hours"}
	case !r.From.Before(r.To):
		return r, &domain.InvalidInput{Field: "from", Reason: "must be before to"}
	}
	size := int64(r.Bucket / time.Second)
	first, end := floor(r.From.Unix(), size), floor(r.To.Add(-1).Unix(), size)+size
	if n := (end - first) / size; n > MaxBuckets {
		return r, &domain.InvalidInput{Field: "bucket", Reason: fmt.Sprintf(
			"would cut the range into %d buckets, at most %d are answered: take a larger bucket or a shorter range", n, MaxBuckets)}
	}
	r.From, r.To = time.Unix(first, 0).UTC(), time.Unix(end, 0).UTC()
	if r.From.Year() < 0 || r.To.Year() > 9999 { // RFC 3339 has no others
		return r, &domain.InvalidInput{Field: "to", Reason: "must be in the years 0 to 9999, also widened to whole buckets"}
	}
	return r, nil
}

// floor is the greatest multiple of size that is not above n.
func floor(n, size int64) int64 {
	if n < 0 {
		n -= size - 1
	}
	return n / size * size
}

// stored is the size of the stored buckets that make up the range's.
func (r AnalyticsRange) stored() int16 {
	if r.Bucket%time.Hour == 0 {
		return hourBucket
	}
	return minuteBucket
}

const modelThereSQL = `
select m.model_id from phantom.model m
where m.tenant_id = $1 and m.model_id = $2 and m.to_position is null and m.generation = `

const bucketsSQL = `
select ` + bucketColumns + `
from phantom.inference_bucket b
where b.tenant_id = $1 and b.model_id = $2 and b.minutes = $3 and b.start >= $4 and b.start < $5 and b.generation = `

const trainingStatsSQL = `
select count(*) filter (where t.started_at >= $3 and t.started_at < $4) as started,
	count(*) filter (where t.state = 'completed' and t.ended_at >= $3 and t.ended_at < $4) as completed,
	count(*) filter (where t.state = 'failed' and t.ended_at >= $3 and t.ended_at < $4) as failed,
	avg(t.duration_ms) filter (where t.state = 'completed' and t.ended_at >= $3 and t.ended_at < $4)::double precision as mean_duration_ms
from phantom.training t
where t.tenant_id = $1 and t.model_id = $2 and t.to_position is null and t.generation = `

// The rows of a deployment tell at which positions its share changed, and the log tells when that was.
const trafficSQL = `
select d.target, d.version, d.weight, d.from_position, d.to_position,
	began.occurred_at as began, ended.occurred_at as ended
from phantom.deployment d
join lifecycle.events began on began.tenant_id = d.tenant_id and began.position = d.from_position
left join lifecycle.events ended on ended.tenant_id = d.tenant_id and ended.position = d.to_position
where d.tenant_id = $1 and d.model_id = $2 and d.state <> 'ended' and d.weight > 0
	and began.occurred_at < $4 and (d.to_position is null or ended.occurred_at > $3) and d.generation = `

// Analytics sums up what was measured of a model. It reads stored buckets of an hour where the asked ones are whole
// hours, so the work is bounded by MaxBuckets, versions and targets. *domain.NotFound, *domain.InvalidInput.
func (r *Reader) Analytics(ctx context.Context, tenant domain.Tenant, id domain.ModelID, asked AnalyticsRange) (Analytics, error) {
	whole, err := asked.whole()
	if err != nil {
		return Analytics{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	a := Analytics{ModelID: id, From: whole.From, To: whole.To}
	var there []struct{ ModelID domain.ModelID }
	var buckets []bucketRow
	var trainings []TrainingStats
	var traffic []shareRow
	var batch pgx.Batch
	batch.Queue(setTenantSQL, tenant)
	batch.Queue(positionSQL, tenant, InferenceAnalyticsName).QueryRow(func(row pgx.Row) error { return row.Scan(&a.Position) })
	collect(&batch, &there, modelThereSQL+liveSQL(CatalogueName), tenant, id)
	collect(&batch, &buckets, bucketsSQL+liveSQL(InferenceAnalyticsName)+` order by b.start, b.version, b.target`,
		tenant, id, whole.stored(), whole.From, whole.To)
	collect(&batch, &trainings, trainingStatsSQL+liveSQL(TrainingsName), tenant, id, whole.From, whole.To)
	collect(&batch, &traffic, trafficSQL+liveSQL(DeploymentsName)+` order by d.from_position, d.target, d.version`,
		tenant, id, whole.From, whole.To)
	if err := r.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return Analytics{}, fmt.Errorf("asking the read model %s: %w", InferenceAnalyticsName, err)
	}
	if len(there) == 0 {
		return Analytics{}, &domain.NotFound{Kind: "model", ID: string(id)}
	}
	a.Trainings, a.Deployments = trainings[0], sharesOf(traffic)
	return a, a.sum(buckets, whole.Bucket)
}

// sum merges stored buckets, which come by start, into those of the answer and its totals.
func (a *Analytics) sum(rows []bucketRow, size time.Duration) error {
	var total measure
	merged := map[bucketKey]*measure{}
	var order []bucketKey
	for _, row := range rows {
		m, err := row.measure()
		if err != nil {
			return err
		}
		key := row.key()
		key.start = time.Unix(floor(key.start.Unix(), int64(size/time.Second)), 0).UTC()
		if merged[key] == nil {
			merged[key] = &measure{}
			order = append(order, key)
		}
		if err := merged[key].merge(m); err != nil {
			return err
		}
		if err := total.merge(m); err != nil {
			return err
		}
	}
	sortBuckets(order)
	a.Buckets = make([]AnalyticsBucket, 0, len(order))
	for _, key := range order {
		stats, err := merged[key].stats()
		if err != nil {
			return err
		}
		a.Buckets = append(a.Buckets, AnalyticsBucket{Start: key.start, Version: key.version, Target: key.target, InferenceStats: stats})
	}
	var err error
	a.Totals, err = total.stats()
	return err
}

// shareRow is a row of phantom.deployment with the times of its ends.
type shareRow struct {
	Target       domain.Target
	Version      domain.Version
	Weight       int
	FromPosition int64
	ToPosition   *int64
	Began        time.Time
	Ended        *time.Time
}

// sharesOf joins rows that differ in something else than their share of the traffic.
func sharesOf(rows []shareRow) []DeploymentTraffic {
	type end struct {
		target   domain.Target
		version  domain.Version
		weight   int
		position int64
	}
	shares := []DeploymentTraffic{}
	ends := map[end]int{} // which share ends where
	for _, row := range rows {
		i, goesOn := ends[end{row.Target, row.Version, row.Weight, row.FromPosition}]
		if !goesOn {
			i = len(shares)
			shares = append(shares, DeploymentTraffic{Target: row.Target, Version: row.Version, From: row.Began.UTC(), Weight: row.Weight})
		}
		shares[i].To = utc(row.Ended)
		if row.ToPosition != nil {
			ends[end{row.Target, row.Version, row.Weight, *row.ToPosition}] = i
		}
	}
	return shares
}
