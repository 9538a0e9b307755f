package readmodel

import (
	"context"
	"strconv"

	"phantom/domain"
)

// versionAnswer is a version's row with the aliases that name it.
type versionAnswer struct {
	versionRow

	Aliases []domain.Alias
}

func askVersions(tenant domain.Tenant, id domain.ModelID, asOf int64) *query {
	return newQuery(tenant, VersionsName, `
select `+versionColumns+`, coalesce((
	select jsonb_agg(a.alias order by a.alias) from phantom.alias a
	where a.tenant_id = v.tenant_id and a.model_id = v.model_id and a.version = v.version
		and a.generation = `+liveSQL(AliasesName)).asOf("a", asOf).add(`), '[]') as aliases
from phantom.version v
where v.tenant_id = $1 and v.generation = `+liveSQL(VersionsName)).
		add(` and v.model_id = ?`, id).asOf("v", asOf)
}

// HasArtifact tells whether a version of the tenant's is made of the artifact.
func (r *Reader) HasArtifact(ctx context.Context, tenant domain.Tenant, digest domain.Digest) (bool, error) {
	q := newQuery(tenant, VersionsName, `
select v.version from phantom.version v
where v.tenant_id = $1 and v.generation = `+liveSQL(VersionsName)).
		add(` and v.artifacts_location = ? and v.to_position is null`, digest).listed("v").add(` limit 1`)
	rows, _, err := ask[versionRow](ctx, r, q)
	return len(rows) > 0, err
}

// GetVersion answers about one version of a model, now or as of a position (0 means now).
// *domain.NotFound.
func (r *Reader) GetVersion(ctx context.Context, tenant domain.Tenant, id domain.ModelID, version domain.Version, asOf int64) (Version, error) {
	q := askVersions(tenant, id, asOf).add(` and v.version = ?`, version)
	row, position, err := askOne[versionAnswer](ctx, r, q, "version", string(version)+" of model "+string(id))
	if err != nil {
		return Version{}, err
	}
	v := row.answer()
	v.Position = position
	return v, nil
}

// ListVersions lists a model's versions, the newest first; none for a model that is not there.
func (r *Reader) ListVersions(ctx context.Context, tenant domain.Tenant, id domain.ModelID, asOf int64, p Paging) (Page[Version], error) {
	return paged[versionAnswer, Version]{
		list: list{"versions", tenant, []any{id, asOf}},
		query: func(after string, rows int) *query {
			q := askVersions(tenant, id, asOf).listed("v")
			when(q, ` and v.number < ?::text::integer`, after)
			return q.add(` order by v.number desc limit ?`, rows)
		},
		key:  func(row versionAnswer) string { return strconv.Itoa(row.Number) },
		item: versionAnswer.answer,
	}.page(ctx, r, p)
}

func (v versionAnswer) answer() Version {
	return Version{
		ModelID: v.ModelID, Version: v.Version, PreviousVersion: v.PreviousVersion,
		ArtifactsLocation: v.ArtifactsLocation, Metrics: v.Metrics, Signature: v.Signature,
		TrainingJobID: v.TrainingJobID, Modification: v.Modification,
		CreatedAt: v.CreatedAt.UTC(), CreatedBy: v.CreatedBy, DeployedTargets: orNone(v.DeployedTargets),
		Aliases: orNone(v.Aliases),
	}
}
