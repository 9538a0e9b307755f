package readmodel

import (
	"context"

	"phantom/domain"
)

func askAliases(tenant domain.Tenant, id domain.ModelID, asOf int64) *query {
	return newQuery(tenant, AliasesName, `
select `+aliasColumns+`
from phantom.alias a
where a.tenant_id = $1 and a.generation = `+liveSQL(AliasesName)).
		add(` and a.model_id = ?`, id).asOf("a", asOf)
}

// GetAlias answers what an alias of a model names, now or as of a position (0 means now).
// *domain.NotFound.
func (r *Reader) GetAlias(ctx context.Context, tenant domain.Tenant, id domain.ModelID, alias domain.Alias, asOf int64) (Alias, error) {
	q := askAliases(tenant, id, asOf).add(` and a.alias = ?`, alias)
	row, position, err := askOne[aliasRow](ctx, r, q, "alias", string(alias)+" of model "+string(id))
	if err != nil {
		return Alias{}, err
	}
	a := row.answer()
	a.Position = position
	return a, nil
}

// ListAliases lists a model's aliases by name; none for a model that is not there.
func (r *Reader) ListAliases(ctx context.Context, tenant domain.Tenant, id domain.ModelID, asOf int64, p Paging) (Page[Alias], error) {
	return paged[aliasRow, Alias]{
		list: list{"aliases", tenant, []any{id, asOf}},
		query: func(after string, rows int) *query {
			q := askAliases(tenant, id, asOf)
			when(q, ` and a.alias > ?`, after)
			return q.add(` order by a.alias limit ?`, rows)
		},
		key:  func(row aliasRow) string { return string(row.Alias) },
		item: aliasRow.answer,
	}.page(ctx, r, p)
}

func (a aliasRow) answer() Alias {
	return Alias{
		ModelID: a.ModelID, Alias: a.Alias, Version: a.Version, PreviousVersion: a.PreviousVersion, Reason: a.Reason,
		AssignedAt: a.AssignedAt.UTC(), AssignedBy: a.AssignedBy, Since: a.FromPosition,
	}
}
