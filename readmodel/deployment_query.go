package readmodel

import (
	"context"
	"fmt"

	"phantom/domain"
)

// ListDeployments lists what serves and served, the newest first.
func (r *Reader) ListDeployments(ctx context.Context, tenant domain.Tenant, f DeploymentFilter, p Paging) (Page[Deployment], error) {
	return paged[deploymentRow, Deployment]{
		list: list{"deployments", tenant, f},
		query: func(after string, rows int) *query {
			q := newQuery(tenant, DeploymentsName, `
select `+deploymentColumns+`
from phantom.deployment d
where d.tenant_id = $1 and d.generation = `+liveSQL(DeploymentsName)).asOf("d", f.AsOf).listed("d")
			when(q, ` and d.model_id = ?`, f.ModelID)
			when(q, ` and d.target = ?`, f.Target)
			when(q, ` and d.version = ?`, f.Version)
			if f.Current {
				q.add(` and d.ended_at is null`)
			}
			// One event begins two only when it shares the traffic of two new versions.
			when(q, ` and (d.started_position, d.version) < (split_part(?::text, '/', 1)::bigint, `, after)
			when(q, `split_part(?::text, '/', 2))`, after)
			return q.add(` order by d.started_position desc, d.version desc limit ?`, rows)
		},
		key:  func(row deploymentRow) string { return fmt.Sprintf("%d/%s", row.StartedPosition, row.Version) },
		item: deploymentRow.answer,
	}.page(ctx, r, p)
}

func (d deploymentRow) answer() Deployment {
	return Deployment{
		ModelID: d.ModelID, Target: d.Target, Version: d.Version, State: d.State, Weight: d.Weight,
		RolloutID: d.RolloutID, DeployedAt: d.DeployedAt.UTC(), DeployedBy: d.DeployedBy,
		EndedAt: utc(d.EndedAt), EndReason: d.EndReason,
	}
}
