package readmodel

import (
	"context"
	"strconv"

	"phantom/domain"
)

func askVersions(tenant domain.Tenant, id domain.ModelID, asOf int64) *query {
	return newQuery(tenant, VersionsName, `
select `+versionColumns+`
from phantom.version v
where v.tenant_id = $1 and v.generation = `+liveSQL(VersionsName)).
		add(` and v.model_id = ?`, id).asOf("v", asOf)
}

// GetVersion answers about one version of a model, now or as of a position (0 means now).
// *domain.NotFound.
func (r *Reader) GetVersion(ctx context.Context, tenant domain.Tenant, id domain.ModelID, version domain.Version, asOf int64) (Version, error) {
	q := askVersions(tenant, id, asOf).add(` and v.version = ?`, version)
	row, position, err := askOne[versionRow](ctx, r, q, "version", string(version)+" of model "+string(id))
	if err != nil {
		return Version{}, err
	}
	v := row.answer()
	v.Position = position
	return v, nil
}

// ListVersions lists a model's versions, the newest first; none for a model that is not there.
func (r *Reader) ListVersions(ctx context.Context, tenant domain.Tenant, id domain.ModelID, asOf int64, p Paging) (Page[Version], error) {
	return paged[versionRow, Version]{
		list: list{"versions", tenant, []any{id, asOf}},
		query: func(after string, rows int) *query {
			q := askVersions(tenant, id, asOf)
			when(q, ` and v.number < ?::text::integer`, after)
			return q.add(` order by v.number desc limit ?`, rows)
		},
		key:  func(row versionRow) string { return strconv.Itoa(row.Number) },
		item: versionRow.answer,
	}.page(ctx, r, p)
}

func (v versionRow) answer() Version {
	return Version{
		ModelID: v.ModelID, Version: v.Version, PreviousVersion: v.PreviousVersion,
		ArtifactsLocation: v.ArtifactsLocation, Metrics: v.Metrics, Signature: v.Signature,
		TrainingJobID: v.TrainingJobID, Modification: v.Modification,
		CreatedAt: v.CreatedAt.UTC(), CreatedBy: v.CreatedBy, DeployedTargets: orNone(v.DeployedTargets),
	}
}
