package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
)

// Retried is what became of a retry, in the live generation.
type Retried struct {
	Applied int64 `json:"applied"` // events that are parked no more
	Parked  int64 `json:"parked"`  // events that still wait
	// Errors are why, one for each group of events that still waits; never null.
	Errors []string `json:"errors" nullable:"false"`
}

// Retry applies the parked events of a tenant in their order, and lets the later ones of their groups flow again; of one
// stream and all that is parked with it, or of all when the stream is empty. An event that still cannot be applied keeps
// its group parked. It runs the projection's code in this process, so that has to be the code that was mended.
func (r *Runner) Retry(ctx context.Context, name, tenant string, stream eventstore.Stream) (Retried, error) {
	done := Retried{Errors: []string{}}
	t, builds, err := r.made(ctx, name)
	if err != nil {
		return done, err
	}
	for _, b := range builds {
		if b.State == Dropping {
			continue
		}
		s := step{params: &r.params, projection: t.projection, id: b.identity(t)}
		of, err := s.retry(ctx, tenant, stream)
		if b.State == Live {
			done = of
		}
		if err != nil {
			return done, err
		}
	}
	t.seen.moved(tenant)
	return done, nil
}

// retry goes through the groups of one generation.
func (s *step) retry(ctx context.Context, tenant string, stream eventstore.Stream) (Retried, error) {
	done := Retried{Errors: []string{}}
	groups, err := s.parkedGroups(ctx, tenant, stream)
	if err != nil {
		return done, err
	}
	for _, group := range groups {
		for size := s.params.Batch; ; {
			n, cause, err := s.replay(ctx, tenant, group, size)
			done.Applied += int64(n)
			if errors.Is(err, errMoved) { // somebody else has retried them meanwhile
				continue
			}
			if err != nil {
				return done, err
			}
			if cause != nil && size > 1 {
				size = max(1, size/2) // on the way to the event that is to blame
				continue
			}
			if cause != nil {
				done.Errors = append(done.Errors, cause.Error())
			}
			if cause != nil || n == 0 {
				break
			}
		}
	}
	at, err := s.id.read(ctx, s.params.Pool, tenant)
	done.Parked = at.Parked
	return done, err
}

func (s *step) parkedGroups(ctx context.Context, tenant string, stream eventstore.Stream) ([]string, error) {
	const query = `select distinct group_key from phantom.projection_parked
		where tenant_id = $1 and projection = $2 and generation = $3
			and ($4 = '' or aggregate_type = $4 and aggregate_id = $5) order by 1`
	var groups []string
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(query, tenant, s.id.Projection, s.id.Generation, stream.Type, stream.ID).Query(func(rows pgx.Rows) (err error) {
		groups, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := s.params.Pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, s.id.because(tenant, err)
	}
	return groups, nil
}

// replay applies the first parked events of a group, and unparks them in the same transaction. The checkpoint is locked, so
// no later event of the group is looked at before they stand. They are read before: who holds a connection asks for no
// other one. A cause is what an event itself is to blame for.
func (s *step) replay(ctx context.Context, tenant, group string, most int) (applied int, cause, err error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	positions, events, err := s.firstEvents(ctx, tenant, group, most)
	if err != nil {
		return 0, nil, fmt.Errorf("retrying %s of tenant %s: %w", s.id.Projection, tenant, err)
	}
	if len(positions) == 0 {
		return 0, nil, nil
	}
	err = pgx.BeginFunc(ctx, s.params.Pool, func(tx pgx.Tx) error {
		now, err := s.firstParked(ctx, tx, tenant, group, len(positions))
		if err != nil {
			return err
		}
		if !slices.Equal(now, positions) {
			return errMoved
		}
		if err := s.again(ctx, tx, tenant, events); err != nil {
			cause = err
			return err
		}
		return s.id.unpark(ctx, tx, tenant, positions)
	})
	switch {
	case err == nil:
		return len(positions), nil, nil
	case cause == nil || !poison(cause):
		return 0, nil, fmt.Errorf("retrying %s of tenant %s: %w", s.id.Projection, tenant, err)
	case len(positions) == 1:
		return 0, fmt.Errorf("event %d: %w", positions[0], cause), s.id.blameAgain(ctx, s, tenant, positions[0], cause)
	}
	return 0, cause, nil
}

// again applies events in a transaction.
func (s *step) again(ctx context.Context, tx pgx.Tx, tenant string, events []eventstore.Event) error {
	t := newTurn(0, eventstore.Page{Tenant: tenant, Events: events})
	t.moved = true
	var batch pgx.Batch
	if err := s.ask(&batch, []*turn{t}); err != nil {
		return err
	}
	if err := send(ctx, tx, &batch); err != nil {
		return err
	}
	batch = pgx.Batch{}
	if err := s.write(&batch, []*turn{t}); err != nil {
		return err
	}
	return send(ctx, tx, &batch)
}

// firstEvents are the group's first parked events as of now.
func (s *step) firstEvents(ctx context.Context, tenant, group string, most int) ([]int64, []eventstore.Event, error) {
	var positions []int64
	err := pgx.BeginFunc(ctx, s.params.Pool, func(tx pgx.Tx) (err error) {
		positions, err = s.firstParked(ctx, tx, tenant, group, most)
		return err
	})
	if err != nil || len(positions) == 0 {
		return nil, nil, err
	}
	events, err := s.params.Feed.ReadAt(ctx, tenant, s.id.Log, positions)
	return positions, events, err
}

// firstParked locks the tenant's checkpoint, and reads where the group's first parked events are; of a generation that is
// dropped, nowhere.
func (s *step) firstParked(ctx context.Context, tx pgx.Tx, tenant, group string, most int) ([]int64, error) {
	const lock = `select from phantom.projection_checkpoint
		where tenant_id = $1 and log = $2 and projection = $3 and generation = $4 for update`
	const query = `select position from phantom.projection_parked
		where tenant_id = $1 and projection = $2 and generation = $3 and group_key = $4
			and exists (select from phantom.projection_build where projection = $2 and generation = $3 and state <> 'dropping')
		order by position limit $5`
	var positions []int64
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	s.id.lock(&batch, shareSQL)
	batch.Queue(lock, tenant, s.id.Log, s.id.Projection, s.id.Generation)
	batch.Queue(query, tenant, s.id.Projection, s.id.Generation, group, most).Query(func(rows pgx.Rows) (err error) {
		positions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return positions, tx.SendBatch(ctx, &batch).Close()
}

func (id identity) unpark(ctx context.Context, tx pgx.Tx, tenant string, positions []int64) error {
	const query = `
with gone as (
    delete from phantom.projection_parked
    where tenant_id = $1 and projection = $2 and generation = $3 and position = any ($4) returning 1
)
update phantom.projection_checkpoint set parked = parked - (select count(*) from gone)
where tenant_id = $1 and projection = $2 and generation = $3`
	_, err := tx.Exec(ctx, query, tenant, id.Projection, id.Generation, positions)
	return err
}

// blameAgain keeps the latest reason of the event that keeps its group parked.
func (id identity) blameAgain(ctx context.Context, s *step, tenant string, position int64, cause error) error {
	const query = `update phantom.projection_parked set cause = $5
		where tenant_id = $1 and projection = $2 and generation = $3 and position = $4`
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(query, tenant, id.Projection, id.Generation, position, storable(cause.Error()))
	return s.params.Pool.SendBatch(ctx, &batch).Close()
}

// ParkedStream is a stream with events that wait.
type ParkedStream struct {
	AggregateType string    `json:"aggregate_type" db:"aggregate_type"`
	AggregateID   string    `json:"aggregate_id" db:"aggregate_id"`
	Position      int64     `json:"position" db:"position"`     // of its first parked event
	EventType     string    `json:"event_type" db:"event_type"` // of that event
	Error         string    `json:"error" db:"cause"`           // why that one is parked
	Count         int64     `json:"count" db:"count"`           // events
	Since         time.Time `json:"since" db:"since"`
	Group         string    `json:"group" db:"group_key"` // what it is parked with
}

// Parked lists at most so many streams of a tenant that have parked events in the live generation, in the order of their
// first parked events after a position.
func (r *Runner) Parked(ctx context.Context, name, tenant string, after int64, most int) ([]ParkedStream, error) {
	t, err := r.track(name)
	if err != nil {
		return nil, err
	}
	const query = `
select p.aggregate_type, p.aggregate_id, p.group_key, min(p.position) as position, count(*) as count, min(p.parked_at) as since,
    (array_agg(p.event_type order by p.position))[1] as event_type, (array_agg(p.cause order by p.position))[1] as cause
from phantom.projection_parked p
where p.tenant_id = $1 and p.projection = $2
    and p.generation = (select live_generation from phantom.projection_generation where projection = $2)
group by p.aggregate_type, p.aggregate_id, p.group_key
having min(p.position) > $3
order by min(p.position) limit $4`
	found := []ParkedStream{}
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(query, tenant, t.projection.Name(), after, most).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[ParkedStream])
		return err
	})
	if err := r.params.Pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("what projection %s has parked: %w", name, err)
	}
	for i := range found {
		found[i].Since = found[i].Since.UTC()
	}
	return found, nil
}
