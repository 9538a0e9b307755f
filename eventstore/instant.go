package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrFuture says that an instant is not over yet, so what happened by then cannot be told. Errors carry a *Future.
var ErrFuture = errors.New("the instant is not over")

// ErrHeadHeld says that somebody held the head of a tenant's log for so long that what happened by a recent instant could
// not be told. Ask again, or for an instant before the log's last event, which needs no lock.
var ErrHeadHeld = errors.New("the head of the tenant's log is held")

// Future is an ErrFuture with its numbers.
type Future struct {
	At  time.Time
	Now time.Time // on the store's clock
}

func (f *Future) Error() string {
	return fmt.Sprintf("%s is not over: it is %s on the store's clock", f.At.Format(time.RFC3339Nano), f.Now.Format(time.RFC3339Nano))
}

// Unwrap makes a Future an ErrFuture.
func (f *Future) Unwrap() error { return ErrFuture }

// PositionAt resolves an instant to the position of the last event that was recorded at or before it; 0 when there is
// none. What is as of that position stays what it is, so whoever wants the same answer again asks by the position: the
// same instant resolves to it again only as long as the server's clock is not set back. ErrFuture for an instant that is
// not over; ErrHeadHeld when it lies after the last event and appends kept the log's head for 5 s.
func (s *Store) PositionAt(ctx context.Context, tenant string, log Log, at time.Time) (int64, error) {
	if err := place(tenant, log); err != nil {
		return 0, err
	}
	batch := asTenant(tenant)
	var found instant
	found.queue(batch, log, at)
	err := s.resolve(ctx, tenant, log, batch)
	if err == nil {
		err = found.err(at)
	}
	if err != nil {
		return 0, fmt.Errorf("find the position of tenant %s's %s log at %s: %w", tenant, log, at.Format(time.RFC3339Nano), err)
	}
	return *found.position, nil
}

// LoadAt is Load as of an instant, and tells the position that it was resolved to, as PositionAt does: Load with that
// position as Through answers the same again.
func (s *Store) LoadAt(ctx context.Context, tenant string, log Log, stream Stream, r Range, at time.Time) ([]Event, int64, error) {
	if err := place(tenant, log); err != nil {
		return nil, 0, err
	}
	batch := asTenant(tenant)
	var found instant
	found.queue(batch, log, at)
	var events []Event
	query, args := r.query(tenant, stream, `(select least(current_setting('phantom.as_of')::bigint, $6))`)
	batch.Queue(log.in(query), args...).Query(into(&events))
	err := s.resolve(ctx, tenant, log, batch)
	if err == nil {
		err = found.err(at)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load stream %s %s of tenant %s as of %s: %w",
			stream.Type, stream.ID, tenant, at.Format(time.RFC3339Nano), err)
	}
	return events, *found.position, nil
}

// instant is what position_at answers.
type instant struct {
	position *int64
	clock    time.Time
}

// queue resolves an instant in a batch whose later statements may read the position as phantom.as_of: those begin after
// the head was looked at, and so see what it saw. The lock is all that such a transaction writes, and it needs no disk.
func (i *instant) queue(batch *pgx.Batch, log Log, at time.Time) {
	const query = `select p.log_position, p.clock, set_config('phantom.as_of', coalesce(p.log_position, 0)::text, true),
		set_config('synchronous_commit', 'off', true) from lifecycle.position_at($1) p`
	batch.Queue(log.in(query), at).QueryRow(func(row pgx.Row) error {
		return row.Scan(&i.position, &i.clock, nil, nil)
	})
}

func (i *instant) err(at time.Time) error {
	if i.position == nil {
		return &Future{At: at, Now: i.clock.UTC()}
	}
	return nil
}

// resolve sends a batch that may wait for a tenant's head. Few of a tenant do so at once: they would take the
// connections of every other tenant.
func (s *Store) resolve(ctx context.Context, tenant string, log Log, batch *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	giveBack, err := s.lookers.take(ctx, tenant, log)
	if err != nil {
		return err
	}
	defer giveBack()
	err = s.send(ctx, batch)
	const lockNotAvailable = "55P03"
	if refused, is := errors.AsType[*pgconn.PgError](err); is && refused.Code == lockNotAvailable {
		return fmt.Errorf("%w: %w", ErrHeadHeld, err)
	}
	return err
}
