package readmodel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
)

// Bounds of one answer.
const (
	maxAnalyticsBuckets     = 1000
	maxAnalyticsTime        = 31 * 24 * time.Hour
	maxAnalyticsDeployments = 500
)

// bounded rounds the range outwards to minutes, and refuses what would be too much. *domain.InvalidInput.
func (f AnalyticsFilter) bounded() (AnalyticsFilter, error) {
	from := f.From.UTC().Truncate(time.Minute)
	to := f.To.UTC().Add(time.Minute - 1).Truncate(time.Minute)
	span := to.Sub(from)
	switch {
	case f.Bucket < time.Minute || f.Bucket%time.Minute != 0 || f.Bucket > maxAnalyticsTime:
		return f, &domain.InvalidInput{Field: "bucket", Reason: "must be whole minutes, from 1m to 744h, like 15m or 1h"}
	case !from.Before(to):
		return f, &domain.InvalidInput{Field: "from", Reason: "must be before to"}
	case span > maxAnalyticsTime:
		return f, &domain.InvalidInput{Field: "from", Reason: "must be at most 31 days before to; ask for a part at a time"}
	case span > maxAnalyticsBuckets*f.Bucket:
		least := (span + maxAnalyticsBuckets*time.Minute - 1) / (maxAnalyticsBuckets * time.Minute)
		return f, &domain.InvalidInput{Field: "bucket", Reason: fmt.Sprintf(
			"cuts the time into more than %d buckets; ask for %dm or more, or for less time", maxAnalyticsBuckets, least)}
	}
	return AnalyticsFilter{From: from, To: to, Bucket: f.Bucket}, nil
}

const bucketsInSQL = `
select b.*
from phantom.inference_bucket b
where b.tenant_id = $1 and b.model_id = $2 and b.minute >= $3 and b.minute < $4
	and b.generation = `

const trainingsInSQL = `
select count(*) filter (where t.started_at >= $3 and t.started_at < $4) as started,
	count(*) filter (where t.state = 'completed' and t.ended_at >= $3 and t.ended_at < $4) as completed,
	count(*) filter (where t.state = 'failed' and t.ended_at >= $3 and t.ended_at < $4) as failed,
	(1000 * avg(extract(epoch from t.ended_at - t.started_at))
		filter (where t.state = 'completed' and t.ended_at >= $3 and t.ended_at < $4))::float8 as mean_duration_ms
from phantom.training t
where t.tenant_id = $1 and t.model_id = $2 and t.to_position is null and t.from_position > 0 and t.generation = `

const deploymentsInSQL = `
select d.target, d.version, d.deployed_at as "from", d.ended_at as "to", coalesce(w.weight, d.weight) as weight
from phantom.deployment d
left join lateral (
	select w.weight
	from phantom.deployment w
	where w.tenant_id = d.tenant_id and w.generation = d.generation and w.model_id = d.model_id
		and w.target = d.target and w.version = d.version and w.started_position = d.started_position
		and w.state <> 'ended'
	order by w.from_position desc limit 1) w on true
where d.tenant_id = $1 and d.model_id = $2 and d.to_position is null and d.from_position > 0
	and d.deployed_at < $4 and (d.ended_at is null or d.ended_at > $3) and d.generation = `

// GetAnalytics sums up a model's recorded inferences, trainings and deployments of a time range.
// *domain.NotFound without the model, *domain.InvalidInput for a range that cannot be answered.
func (r *Reader) GetAnalytics(ctx context.Context, tenant domain.Tenant, id domain.ModelID, f AnalyticsFilter) (Analytics, error) {
	f, err := f.bounded()
	if err != nil {
		return Analytics{}, err
	}
	if _, err := r.GetModel(ctx, tenant, id, 0); err != nil {
		return Analytics{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	sums := newAnalyticsSums(f)
	var trainings []AnalyticsTrainings
	var deployments []AnalyticsDeployment
	var positions [2]int64
	var batch pgx.Batch
	for i, name := range []string{TrainingsName, DeploymentsName} {
		batch.Queue(positionSQL(), tenant, name).QueryRow(func(row pgx.Row) error { return row.Scan(&positions[i]) })
	}
	args := []any{tenant, id, f.From, f.To}
	batch.Queue(bucketsInSQL+liveSQL(InferenceAnalyticsName), args...).Query(sums.read)
	collect(&batch, &trainings, trainingsInSQL+liveSQL(TrainingsName), args...)
	collect(&batch, &deployments, deploymentsInSQL+liveSQL(DeploymentsName)+
		fmt.Sprintf(` order by d.started_position desc, d.version desc limit %d`, maxAnalyticsDeployments), args...)
	if err := r.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return Analytics{}, fmt.Errorf("asking for the analytics of model %s: %w", id, err)
	}
	answer, err := sums.answer()
	answer.ModelID, answer.Position, answer.Trainings = id, min(positions[0], positions[1]), trainings[0]
	for i := range deployments {
		deployments[i].From, deployments[i].To = deployments[i].From.UTC(), utc(deployments[i].To)
	}
	answer.Deployments = orNone(deployments)
	return answer, err
}

// analyticsSums adds minutes up to buckets as they are read.
type analyticsSums struct {
	filter  AnalyticsFilter
	buckets map[bucketKey]*bucketDelta // by the bucket's start
}

func newAnalyticsSums(f AnalyticsFilter) *analyticsSums {
	return &analyticsSums{filter: f, buckets: map[bucketKey]*bucketDelta{}}
}

func (s *analyticsSums) read(rows pgx.Rows) error {
	for rows.Next() {
		row, err := pgx.RowToStructByNameLax[bucketRow](rows)
		if err != nil {
			return err
		}
		row.Minute = row.Minute.UTC().Truncate(s.filter.Bucket)
		key := row.key()
		sum, known := s.buckets[key]
		if !known {
			empty, err := newSketch()
			if err != nil {
				return err
			}
			sum = &bucketDelta{row: bucketRow{Minute: row.Minute, Target: row.Target, Version: row.Version}, latency: empty}
			s.buckets[key] = sum
		}
		if err := sum.add(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *analyticsSums) answer() (Analytics, error) {
	empty, err := newSketch()
	if err != nil {
		return Analytics{}, err
	}
	total := &bucketDelta{latency: empty}
	answer := Analytics{From: s.filter.From, To: s.filter.To, Bucket: bucketText(s.filter.Bucket), Buckets: []AnalyticsBucket{}}
	for _, sum := range s.buckets {
		part := sum.row
		part.Latency = sum.latency.encode()
		if err := total.add(part); err != nil {
			return Analytics{}, err
		}
		answered, err := sum.answered()
		if err != nil {
			return Analytics{}, err
		}
		answer.Buckets = append(answer.Buckets, AnalyticsBucket{Start: part.Minute, Version: part.Version, Target: part.Target, Answered: answered})
	}
	slices.SortFunc(answer.Buckets, func(a, b AnalyticsBucket) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Target, b.Target), cmp.Compare(len(a.Version), len(b.Version)), cmp.Compare(a.Version, b.Version))
	})
	answer.Totals, err = total.answered()
	return answer, err
}

func (d *bucketDelta) answered() (Answered, error) {
	quantiles, err := d.latency.quantiles()
	return Answered{
		Inferences: d.row.Inferences, Errors: d.row.Errors, ErrorRate: share(d.row.Errors, d.row.Inferences),
		MeanConfidence: share(d.row.ConfidenceSum, d.row.Confidences*confidenceUnit), LatencyMS: quantiles,
		Accuracy: share(d.row.Correct, d.row.Labels), Labelled: d.row.Labels,
	}, err
}

func share(part, of int64) *float64 {
	if of == 0 {
		return nil
	}
	value := float64(part) / float64(of)
	return &value
}

// bucketText writes a duration without what is zero: 1h, 15m, 1h30m.
func bucketText(d time.Duration) string {
	hours, minutes := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case minutes == 0:
		return fmt.Sprintf("%dh", hours)
	case hours == 0:
		return fmt.Sprintf("%dm", minutes)
	}
	return fmt.Sprintf("%dh%dm", hours, minutes)
}
