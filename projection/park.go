package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// poison tells whether an error of Apply is the event's own. Of PostgreSQL's that is a value that a column or a constraint
// refuses; a table or a right that is missing is nobody's poison, and would park the whole log.
func poison(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code[:2] == "22" || pg.Code[:2] == "23"
	}
	return !follow.Passing(err) && !errors.Is(err, errMoved) && !errors.Is(err, eventstore.ErrCorrupt)
}

// aside is an event that is parked, and why.
type aside struct {
	event eventstore.Event
	group string
	cause string
}

const parkSQL = `
with parked as (
    insert into phantom.projection_parked
        (tenant_id, projection, generation, position, group_key, aggregate_type, aggregate_id, event_type, cause)
    select $1, $2, $3, * from unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    returning 1
)
update phantom.projection_checkpoint set parked = parked + (select count(*) from parked)
where tenant_id = $1 and projection = $2 and generation = $3`

// park queues what sets events aside, in the transaction that moved the checkpoint past them.
func (id identity) park(batch *pgx.Batch, tenant string, all []aside) {
	if len(all) == 0 {
		return
	}
	positions := make([]int64, len(all))
	var groups, types, ids, names, causes []string
	for i, a := range all {
		positions[i] = a.event.Position
		groups, causes = append(groups, a.group), append(causes, storable(a.cause))
		types, ids = append(types, a.event.AggregateType), append(ids, a.event.AggregateID)
		names = append(names, a.event.EventType)
	}
	batch.Queue(parkSQL, tenant, id.Projection, id.Generation, positions, groups, types, ids, names, causes)
}

// firsts queues a question for the first parked event of each group that has one, as people name it.
func (id identity) firsts(batch *pgx.Batch, tenant string, groups []string) (found map[string]string) {
	const query = `
select g.key, format('event %s (%s of %s %s)', p.position, p.event_type, p.aggregate_type, p.aggregate_id)
from unnest($4::text[]) as g (key)
cross join lateral (
    select * from phantom.projection_parked p
    where p.tenant_id = $1 and p.projection = $2 and p.generation = $3 and p.group_key = g.key
    order by p.position limit 1) p`
	found = map[string]string{}
	batch.Queue(query, tenant, id.Projection, id.Generation, groups).Query(func(rows pgx.Rows) error {
		var group, event string
		_, err := pgx.ForEachRow(rows, []any{&group, &event}, func() error { found[group] = event; return nil })
		return err
	})
	return found
}

// sort parts the events that wait behind a parked one from those that flow on, and asks for these, if that is not done.
func (s *step) sort(ctx context.Context, conn sender, turns []*turn, asked bool) (err error) {
	defer recovered(&err)
	var batch pgx.Batch
	first := map[*turn]map[string]string{}
	for _, t := range turns {
		if t.moved && t.parked > 0 && len(t.flow) > 0 {
			as(&batch, t.Page.Tenant)
			first[t] = s.id.firsts(&batch, t.Page.Tenant, s.groups(t.flow))
		}
	}
	if err := send(ctx, conn, &batch); err != nil {
		return err
	}
	batch = pgx.Batch{}
	for _, t := range turns {
		parked, sorts := first[t]
		if !t.moved || !sorts && asked {
			continue
		}
		if !s.part(t, parked) && asked {
			continue
		}
		if err := s.ask(&batch, []*turn{t}); err != nil {
			return err
		}
	}
	return send(ctx, conn, &batch)
}

// part lets the events of a turn wait whose group has parked ones, and tells whether there are any.
func (s *step) part(t *turn, parked map[string]string) (waits bool) {
	var flow []eventstore.Event
	for _, e := range t.flow {
		group := s.projection.Group(e)
		if event, is := parked[group]; is {
			t.wait = append(t.wait, aside{e, group, "waits behind " + event})
		} else {
			flow = append(flow, e)
		}
	}
	if len(t.wait) == 0 {
		return false
	}
	t.flow, t.write, t.made = flow, nil, false
	return true
}

// groups are the distinct groups of events.
func (s *step) groups(events []eventstore.Event) []string {
	known := map[string]struct{}{}
	var groups []string
	for _, e := range events {
		group := s.projection.Group(e)
		if _, is := known[group]; !is {
			known[group] = struct{}{}
			groups = append(groups, group)
		}
	}
	return groups
}

// setAside parks the one event of a page that cannot be applied, and moves on.
func (s *step) setAside(ctx context.Context, after int64, page eventstore.Page, cause error) (err error) {
	defer recovered(&err)
	t, e := newTurn(after, page), page.Events[0]
	t.flow, t.wait = nil, []aside{{e, s.projection.Group(e), cause.Error()}}
	return t.took(s.apply(ctx, []*turn{t}, true))
}

// Parking is what a projection has parked in its live generation, of all tenants.
type Parking struct {
	Projection string
	Events     int64
	Oldest     time.Duration // since when the oldest waits; 0 when none does
}

// Parkings tells what every projection of the database has parked, also where none of them runs.
func Parkings(ctx context.Context, pool *pgxpool.Pool) ([]Parking, error) {
	const query = `
select g.projection, coalesce(t.events, 0), coalesce(extract(epoch from clock_timestamp() - t.oldest), 0)::float8
from phantom.projection_generation g
left join phantom.projection_parked_totals() t on t.projection = g.projection and t.generation = g.live_generation
order by g.projection`
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := pool.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("what projections have parked: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Parking, err error) {
		var seconds float64
		err = row.Scan(&p.Projection, &p.Events, &seconds)
		p.Oldest = time.Duration(seconds * float64(time.Second))
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("what projections have parked: %w", err)
	}
	return all, nil
}
