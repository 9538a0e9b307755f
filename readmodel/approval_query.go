package readmodel

import (
	"context"
	"strconv"

	"phantom/domain"
)

// waitingRow is a row of either table that has an approval.
type waitingRow struct {
	ModelID         domain.ModelID
	StartedPosition int64
	SagaID          string
	TrainingJobID   *domain.JobID
	RolloutID       *domain.RolloutID
	Version         *domain.Version
	Target          *domain.Target
	Approval        Approval
}

// ApprovalsWaiting lists what waits for a person, the longest running work first. One that has expired
// is there until its saga has recorded that. The page's position is the trainings'.
func (r *Reader) ApprovalsWaiting(ctx context.Context, tenant domain.Tenant, p Paging) (Page[WaitingApproval], error) {
	return paged[waitingRow, WaitingApproval]{
		list: list{"approvals", tenant, nil},
		query: func(after string, rows int) *query {
			q := newQuery(tenant, TrainingsName, `
select * from (
	select t.model_id, t.started_position, t.saga_id, t.training_job_id, null::text as rollout_id,
		null::text as version, null::text as target, t.approval
	from phantom.training t
	where t.tenant_id = $1 and t.generation = `+liveSQL(TrainingsName)+`
		and t.to_position is null and t.from_position > 0 and t.approval_state = 'waiting'
	union all
	select r.model_id, r.started_position, r.saga_id, null, r.rollout_id, r.version, r.target, r.approval
	from phantom.rollout r
	where r.tenant_id = $1 and r.generation = `+liveSQL(RolloutsName)+`
		and r.to_position is null and r.from_position > 0 and r.approval_state = 'waiting') w`)
			when(q, ` where started_position > ?::text::bigint`, after)
			return q.add(` order by started_position limit ?`, rows)
		},
		key: func(row waitingRow) string { return strconv.FormatInt(row.StartedPosition, 10) },
		item: func(row waitingRow) WaitingApproval {
			return WaitingApproval{
				ModelID: row.ModelID, SagaID: row.SagaID, TrainingJobID: row.TrainingJobID,
				RolloutID: row.RolloutID, Version: row.Version, Target: row.Target, Approval: row.Approval,
			}
		},
	}.page(ctx, r, p)
}
