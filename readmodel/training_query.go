package readmodel

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"phantom/domain"
)

// trainingAnswer is a training's row with its last progress.
type trainingAnswer struct {
	trainingRow

	Epoch           *int
	Step            *int64
	Percentage      *float64
	ProgressMetrics map[string]float64
}

func askTrainings(tenant domain.Tenant, asOf int64) *query {
	return newQuery(tenant, TrainingsName, `
select `+trainingColumns+`, p.epoch, p.step, p.percentage, p.metrics as progress_metrics
from phantom.training t
left join lateral (
	select p.epoch, p.step, p.percentage, p.metrics
	from phantom.training_progress p
	where p.tenant_id = t.tenant_id and p.generation = t.generation
		and p.model_id = t.model_id and p.training_job_id = t.training_job_id`).
		until("p", asOf).add(`
	order by p.position desc limit 1) p on true
where t.tenant_id = $1 and t.generation = `+liveSQL(TrainingsName)).
		asOf("t", asOf)
}

// GetTraining answers about one job, now or as of a position (0 means now). *domain.NotFound.
func (r *Reader) GetTraining(ctx context.Context, tenant domain.Tenant, job domain.JobID, asOf int64) (Training, error) {
	q := askTrainings(tenant, asOf).add(` and t.training_job_id = ? order by t.started_position desc limit 1`, job)
	row, position, err := askOne[trainingAnswer](ctx, r, q, "training", string(job))
	if err != nil {
		return Training{}, err
	}
	t := row.answer()
	t.Position = position
	return t, nil
}

// ListTrainings lists jobs of a model, or of the tenant, the newest first.
func (r *Reader) ListTrainings(ctx context.Context, tenant domain.Tenant, f TrainingFilter, p Paging) (Page[Training], error) {
	return paged[trainingAnswer, Training]{
		list: list{"trainings", tenant, f},
		query: func(after string, rows int) *query {
			q := askTrainings(tenant, f.AsOf).listed("t")
			when(q, ` and t.model_id = ?`, f.ModelID)
			when(q, ` and t.state = ?`, f.State)
			when(q, ` and t.started_position < ?::text::bigint`, after)
			return q.add(` order by t.started_position desc limit ?`, rows)
		},
		key:  func(row trainingAnswer) string { return strconv.FormatInt(row.StartedPosition, 10) },
		item: trainingAnswer.answer,
	}.page(ctx, r, p)
}

func (t trainingAnswer) answer() Training {
	answer := Training{
		TrainingJobID: t.TrainingJobID, ModelID: t.ModelID, SagaID: t.SagaID, State: t.State,
		Metrics: t.metrics(), Config: t.Config, Datasets: orNone(t.Datasets),
		ArtifactsLocation: t.ArtifactsLocation, CodeDigest: t.CodeDigest, DurationMS: t.DurationMS,
		Evaluation: t.Evaluation, Approval: t.Approval, StartedAt: t.StartedAt.UTC(), StartedBy: t.StartedBy,
		EndedAt: utc(t.EndedAt), Version: t.Version, FailureReason: t.FailureReason, ErrorDetails: t.ErrorDetails,
	}
	if t.Epoch != nil {
		answer.Epoch, answer.Step, answer.Progress = *t.Epoch, *t.Step, *t.Percentage
	}
	if t.State == TrainingCompleted {
		answer.Progress = 100
	}
	return answer
}

// metrics are the final ones over the last epoch's, and the evaluation's over both.
func (t trainingAnswer) metrics() map[string]float64 {
	all := map[string]float64{}
	if t.FinalMetrics == nil {
		maps.Copy(all, t.ProgressMetrics)
	}
	maps.Copy(all, t.FinalMetrics)
	if t.Evaluation != nil {
		maps.Copy(all, t.Evaluation.Metrics)
	}
	return all
}

type curvePoint struct {
	Metric string
	Epoch  int
	Step   int64
	Value  float64
	At     time.Time
}

const curvesSQL = `
select m.key as metric, p.epoch, p.step, m.value::double precision as value, p.at
from phantom.training_progress p
cross join lateral jsonb_each_text(p.metrics) m
where p.tenant_id = $1 and p.training_job_id = $2 and p.model_id = $3 and p.generation = `

// TrainingCurves gives every metric of a job over its epochs, by name. With maxPoints (at least 2; 0
// means all) longer curves are thinned to so many: see thinned. A job without progress has no curves;
// one that is not there is a *domain.NotFound.
func (r *Reader) TrainingCurves(ctx context.Context, tenant domain.Tenant, job domain.JobID, maxPoints int) ([]Curve, error) {
	if maxPoints == 1 || maxPoints < 0 {
		return nil, &domain.InvalidInput{Field: "max_points", Reason: "must be at least 2, or 0 for all"}
	}
	training, err := r.GetTraining(ctx, tenant, job, 0)
	if err != nil {
		return nil, err
	}
	q := newQuery(tenant, TrainingsName, curvesSQL+liveSQL(TrainingsName)+` order by m.key, p.position`)
	q.args = append(q.args, job, training.ModelID) // the model leads to the job's rows by the key
	points, _, err := ask[curvePoint](ctx, r, q)
	if err != nil {
		return nil, fmt.Errorf("curves of training %s: %w", job, err)
	}
	curves := []Curve{}
	for _, point := range points {
		if len(curves) == 0 || curves[len(curves)-1].Metric != point.Metric {
			curves = append(curves, Curve{Metric: point.Metric})
		}
		curve := &curves[len(curves)-1]
		curve.Points = append(curve.Points, Point{point.Epoch, point.Step, point.Value, point.At.UTC()})
	}
	for i := range curves {
		curves[i].Points = thinned(curves[i].Points, maxPoints)
	}
	return curves, nil
}
