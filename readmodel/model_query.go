package readmodel

import (
	"context"
	"maps"
	"slices"
	"time"

	"phantom/domain"
)

// modelAnswer is a model's row with what the inference log says of it.
type modelAnswer struct {
	modelRow

	Inferences      *int64
	LastInferenceAt *time.Time
}

// askModels leaves inferences out of the past: positions are those of the lifecycle log.
func askModels(tenant domain.Tenant, asOf int64) *query {
	const now = `
select ` + modelColumns + `, coalesce(a.inferences, 0) as inferences, a.last_inference_at
from phantom.model m
left join phantom.model_activity a
	on a.tenant_id = m.tenant_id and a.model_id = m.model_id
	and a.generation = `
	const past = `
select ` + modelColumns + `
from phantom.model m`
	asked := past
	if asOf <= 0 {
		asked = now + liveSQL(InferenceActivityName)
	}
	return newQuery(tenant, CatalogueName, asked+`
where m.tenant_id = $1 and m.generation = `+liveSQL(CatalogueName)).asOf("m", asOf)
}

// GetModel answers about one model now, or as of a position that the catalogue has seen (0 means now).
// A deleted model is there, with that status. *domain.NotFound.
func (r *Reader) GetModel(ctx context.Context, tenant domain.Tenant, id domain.ModelID, asOf int64) (Model, error) {
	q := askModels(tenant, asOf).add(` and m.model_id = ?`, id)
	row, position, err := askOne[modelAnswer](ctx, r, q, "model", string(id))
	if err != nil {
		return Model{}, err
	}
	m := row.answer()
	m.Position = position
	return m, nil
}

// ListModels lists models in the order of their ids.
func (r *Reader) ListModels(ctx context.Context, tenant domain.Tenant, f ModelFilter, p Paging) (Page[Model], error) {
	return paged[modelAnswer, Model]{
		list: list{"models", tenant, f},
		query: func(after string, rows int) *query {
			q := askModels(tenant, f.AsOf).listed("m")
			when(q, ` and m.status = ?`, f.Status)
			when(q, ` and m.model_type = ?`, f.ModelType)
			when(q, ` and m.algorithm = ?`, f.Algorithm)
			for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
				q.add(` and exists (select from phantom.model_tag g
					where g.tenant_id = m.tenant_id and g.generation = m.generation
						and g.model_id = m.model_id and g.key = ? and g.value = ?`, key, f.Tags[key])
				q.asOf("g", f.AsOf).listed("g").add(`)`)
			}
			when(q, ` and m.model_id > ?`, after)
			return q.add(` order by m.model_id limit ?`, rows)
		},
		key:  func(row modelAnswer) string { return string(row.ModelID) },
		item: modelAnswer.answer,
	}.page(ctx, r, p)
}

func (m modelAnswer) answer() Model {
	return Model{
		ModelID: m.ModelID, Name: m.Name, ModelType: m.ModelType, Algorithm: m.Algorithm, Status: m.Status,
		CurrentVersion: m.CurrentVersion, DeployedTargets: orNone(slices.Sorted(maps.Keys(m.Deployed))),
		ActiveTrainings: len(m.RunningJobs), Metrics: m.Metrics,
		Accuracy: m.Accuracy, Precision: m.Precision, Recall: m.Recall, F1: m.F1,
		Tags: m.Tags, Description: m.Description, IntendedPurpose: m.IntendedPurpose, Config: m.Config,
		Counts:   ModelCounts{Versions: m.Versions, Trainings: m.Trainings, Deployments: m.Deployments, Inferences: m.Inferences},
		Revision: m.Revision, CreatedAt: m.CreatedAt.UTC(), CreatedBy: m.CreatedBy,
		UpdatedAt: m.UpdatedAt.UTC(), LastInferenceAt: utc(m.LastInferenceAt),
	}
}
