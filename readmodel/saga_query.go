package readmodel

import (
	"context"
	"strings"
	"time"

	"phantom/domain"
)

type sagaAnswer struct {
	sagaRow

	Live bool
}

const allSagasSQL = `
select * from (
	select ` + sagaColumns + `, s.run_id = any (?::text[]) as live
	from phantom.saga s
	where s.tenant_id = $1 and s.to_position is null and s.from_position > 0 and s.generation = `

// Those that run but have not left an event.
const newSagasSQL = `
	union all
	select l.saga_id, l.run_id, l.kind, l.model_id, '', null, 'running', '', 0, l.started_at, '{}', null, true
	from unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::timestamptz[]) as l (saga_id, run_id, kind, model_id, started_at)
	where not exists (
		select from phantom.saga s
		where s.tenant_id = $1 and s.to_position is null and s.saga_id = l.saga_id and s.run_id = l.run_id
			and s.generation = `

// ListSagas lists the runs of sagas, the newest first. Which of them still run, the filter's Live says.
func (r *Reader) ListSagas(ctx context.Context, tenant domain.Tenant, f SagaFilter, p Paging) (Page[Saga], error) {
	return paged[sagaAnswer, Saga]{
		list: list{"sagas", tenant, []string{f.Kind, string(f.ModelID), f.State}}, // what runs changes meanwhile
		query: func(after string, rows int) *query {
			return f.query(tenant, after).add(` order by started_at desc, saga_id desc, run_id desc limit ?`, rows)
		},
		key: func(s sagaAnswer) string {
			return s.StartedAt.UTC().Format(time.RFC3339Nano) + "\n" + s.SagaID + "\n" + s.RunID
		},
		item: sagaAnswer.answer,
	}.page(ctx, r, p)
}

func (f SagaFilter) query(tenant domain.Tenant, after string) *query {
	var ids, runs, kinds, models []string
	var began []time.Time
	for _, s := range f.Live {
		ids, runs, kinds = append(ids, s.SagaID), append(runs, s.RunID), append(kinds, s.Kind)
		models, began = append(models, string(s.ModelID)), append(began, s.StartedAt)
	}
	q := newQuery(tenant, SagasName, "").add(allSagasSQL+liveSQL(SagasName), orNone(runs))
	when(q, ` and s.kind = ?`, f.Kind)
	when(q, ` and s.model_id = ?`, f.ModelID)
	q.add(newSagasSQL+liveSQL(SagasName)+`)) s where true`, ids, runs, kinds, models, began)
	switch {
	case f.State == "":
	case f.State == string(SagaRunning) && f.Live != nil:
		q.add(` and live`)
	case f.State == string(SagaRunning) || f.Live == nil:
		q.add(` and state = ?`, f.State)
	default:
		q.add(` and not live and (state = ? or ended_at is null)`, f.State)
	}
	if at, id, ok := strings.Cut(after, "\n"); ok {
		id, run, _ := strings.Cut(id, "\n")
		q.add(` and (started_at, saga_id, run_id) < (?::text::timestamptz, ?::text, ?::text)`, at, id, run)
	}
	return q
}

// GetSaga answers about the newest run of a saga that has left an event. *domain.NotFound.
func (r *Reader) GetSaga(ctx context.Context, tenant domain.Tenant, id string) (Saga, error) {
	q := newQuery(tenant, SagasName, `
select `+sagaColumns+`, false as live
from phantom.saga s
where s.tenant_id = $1 and s.to_position is null and s.generation = `+liveSQL(SagasName)).
		add(` and s.saga_id = ? order by s.started_position desc limit 1`, id)
	row, position, err := askOne[sagaAnswer](ctx, r, q, "saga", id)
	if err != nil {
		return Saga{}, err
	}
	saga := row.answer()
	saga.Position = position
	return saga, nil
}

func (s sagaAnswer) answer() Saga {
	return Saga{
		SagaID: s.SagaID, RunID: s.RunID, Kind: s.Kind, ModelID: s.ModelID, Target: s.Target, Version: s.Version,
		State: s.State, Outcome: s.Outcome, StartedAt: s.StartedAt.UTC(), EndedAt: utc(s.EndedAt), Live: s.Live,
	}
}
