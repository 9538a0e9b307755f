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

// park sets events aside, in the transaction that moved the checkpoint past them.
func (id identity) park(ctx context.Context, tx pgx.Tx, tenant string, all []aside) error {
	if len(all) == 0 {
		return nil
	}
	positions := make([]int64, len(all))
	var groups, types, ids, names, causes []string
	for i, a := range all {
		positions[i] = a.event.Position
		groups, causes = append(groups, a.group), append(causes, storable(a.cause))
		types, ids = append(types, a.event.AggregateType), append(ids, a.event.AggregateID)
		names = append(names, a.event.EventType)
	}
	if _, err := tx.Exec(ctx, parkSQL, tenant, id.Projection, id.Generation, positions, groups, types, ids, names, causes); err != nil {
		return fmt.Errorf("parking %d events of projection %s, tenant %s: %w", len(all), id.Projection, tenant, err)
	}
	return nil
}

// firsts are the first parked event of each group that has one, as people name it.
func (id identity) firsts(ctx context.Context, tx pgx.Tx, tenant string, groups []string) (map[string]string, error) {
	const query = `
select g.key, format('event %s (%s of %s %s)', p.position, p.event_type, p.aggregate_type, p.aggregate_id)
from unnest($4::text[]) as g (key)
cross join lateral (
    select * from phantom.projection_parked p
    where p.tenant_id = $1 and p.projection = $2 and p.generation = $3 and p.group_key = g.key
    order by p.position limit 1) p`
	rows, err := tx.Query(ctx, query, tenant, id.Projection, id.Generation, groups)
	if err != nil {
		return nil, id.because(tenant, err)
	}
	found := map[string]string{}
	var group, event string
	if _, err := pgx.ForEachRow(rows, []any{&group, &event}, func() error { found[group] = event; return nil }); err != nil {
		return nil, id.because(tenant, err)
	}
	return found, nil
}

// sort parts the events that wait behind a parked one from those that flow on.
func (s *step) sort(ctx context.Context, tx pgx.Tx, page eventstore.Page) (flow []eventstore.Event, wait []aside, err error) {
	groups := make([]string, len(page.Events))
	distinct := map[string]struct{}{}
	var keys []string
	for i, e := range page.Events {
		groups[i] = s.projection.Group(e)
		if _, known := distinct[groups[i]]; !known {
			distinct[groups[i]] = struct{}{}
			keys = append(keys, groups[i])
		}
	}
	first, err := s.id.firsts(ctx, tx, page.Tenant, keys)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range page.Events {
		if event, parked := first[groups[i]]; parked {
			wait = append(wait, aside{e, groups[i], "waits behind " + event})
		} else {
			flow = append(flow, e)
		}
	}
	return flow, wait, nil
}

// setAside parks the one event of a page that cannot be applied, and moves on.
func (s *step) setAside(ctx context.Context, after int64, page eventstore.Page, cause error) error {
	e := page.Events[0]
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	return pgx.BeginFunc(ctx, s.params.Pool, func(tx pgx.Tx) error {
		from := eventstore.Cursor{Tenant: page.Tenant, After: after}
		if _, err := s.id.advance(ctx, tx, s.epoch, from, page.Through); err != nil {
			return err
		}
		return s.id.park(ctx, tx, page.Tenant, []aside{{e, s.projection.Group(e), cause.Error()}})
	})
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
