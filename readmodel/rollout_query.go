package readmodel

import (
	"context"
	"strconv"

	"phantom/domain"
)

// rolloutAnswer is a rollout's row with its shifts and verdicts.
type rolloutAnswer struct {
	rolloutRow

	Traffic  []TrafficShift
	Verdicts []RolloutVerdict
}

// all is more shifts or verdicts than a rollout can have.
const all = 1 << 40

// askRollouts gives the last shifts and verdicts, at most the number given, in log order.
func askRollouts(tenant domain.Tenant, asOf int64, last int64) *query {
	q := newQuery(tenant, RolloutsName, `
select `+rolloutColumns+`,
	(select coalesce(json_agg(json_build_object('weights', s.weights, 'route_generation', s.route_generation,
			'at', s.at, 'position', s.position) order by s.position), '[]')
		from (select * from phantom.rollout_traffic s
			where s.tenant_id = r.tenant_id and s.generation = r.generation
				and s.model_id = r.model_id and s.rollout_id = r.rollout_id`).until("s", asOf)
	q.add(`
			order by s.position desc limit ?) s) as traffic,
	(select coalesce(json_agg(s.assessment || jsonb_build_object('at', s.at, 'position', s.position)
			order by s.position), '[]')
		from (select * from phantom.rollout_verdict s
			where s.tenant_id = r.tenant_id and s.generation = r.generation
				and s.model_id = r.model_id and s.rollout_id = r.rollout_id`, last).until("s", asOf)
	return q.add(`
			order by s.position desc limit ?) s) as verdicts
from phantom.rollout r
where r.tenant_id = $1 and r.generation = `+liveSQL(RolloutsName), last).asOf("r", asOf)
}

// GetRollout answers about one rollout with all its shifts and verdicts, now or as of a position (0
// means now). *domain.NotFound.
func (r *Reader) GetRollout(ctx context.Context, tenant domain.Tenant, id domain.RolloutID, asOf int64) (Rollout, error) {
	q := askRollouts(tenant, asOf, all).add(` and r.rollout_id = ? order by r.started_position desc limit 1`, id)
	row, position, err := askOne[rolloutAnswer](ctx, r, q, "rollout", string(id))
	if err != nil {
		return Rollout{}, err
	}
	answer := row.answer()
	answer.Position = position
	return answer, nil
}

// ListRollouts lists rollouts of a model, or of the tenant, the newest first, each with its last shift
// and its last verdict only.
func (r *Reader) ListRollouts(ctx context.Context, tenant domain.Tenant, f RolloutFilter, p Paging) (Page[Rollout], error) {
	return paged[rolloutAnswer, Rollout]{
		list: list{"rollouts", tenant, f},
		query: func(after string, rows int) *query {
			q := askRollouts(tenant, f.AsOf, 1).listed("r")
			when(q, ` and r.model_id = ?`, f.ModelID)
			when(q, ` and r.target = ?`, f.Target)
			when(q, ` and r.version = ?`, f.Version)
			when(q, ` and r.state = ?`, f.State)
			when(q, ` and r.started_position < ?::text::bigint`, after)
			return q.add(` order by r.started_position desc limit ?`, rows)
		},
		key:  func(row rolloutAnswer) string { return strconv.FormatInt(row.StartedPosition, 10) },
		item: rolloutAnswer.answer,
	}.page(ctx, r, p)
}

func (a rolloutAnswer) answer() Rollout {
	for i := range a.Traffic {
		a.Traffic[i].At = a.Traffic[i].At.UTC()
	}
	for i := range a.Verdicts {
		a.Verdicts[i].At = a.Verdicts[i].At.UTC()
	}
	return Rollout{
		RolloutID: a.RolloutID, ModelID: a.ModelID, SagaID: a.SagaID, Version: a.Version,
		PreviousVersion: a.PreviousVersion, Target: a.Target, State: a.State, Strategy: a.Strategy,
		ObserveAfter: a.ObserveAfter, Approval: a.Approval, Traffic: a.Traffic, Verdicts: a.Verdicts,
		StartedAt: a.StartedAt.UTC(), StartedBy: a.StartedBy, EndedAt: utc(a.EndedAt), Reason: a.Reason,
	}
}
