package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockTimeout bounds how long a cursor waits for a row that somebody else holds.
const lockTimeout = "2s"

const setTenant = `select set_config('phantom.tenant', $1, true), set_config('lock_timeout', $2, true)`

func (s *subscriber) because(tenant string, err error) error {
	return fmt.Errorf("cursor of subscription %s, tenant %s: %w", s.Name, tenant, err)
}

const registerSQL = `
insert into phantom.subscription (subscription, log, begun) values ($1, $2, $3)
on conflict on constraint subscription_pkey do nothing`

const takeOverSQL = `
update phantom.subscription set epoch = epoch + 1, seen_at = clock_timestamp()
where subscription = $1 and log = $2
returning epoch, begun`

// takeOver makes the caller the youngest runner.
func (s *subscriber) takeOver(ctx context.Context) (epoch int64, begun bool, err error) {
	var batch pgx.Batch
	batch.Queue(registerSQL, s.Name, s.log, s.Start == Beginning)
	batch.Queue(takeOverSQL, s.Name, s.log).QueryRow(func(row pgx.Row) error { return row.Scan(&epoch, &begun) })
	err = s.pool.SendBatch(ctx, &batch).Close()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, fmt.Errorf("%w: %s follows the other log than %s", ErrSubscription, s.Name, s.log)
	case err != nil:
		return 0, false, fmt.Errorf("take over subscription %s: %w", s.Name, err)
	}
	return epoch, begun, nil
}

// startNow gives every tenant that is there its first cursor. A start that was interrupted goes on where the heads are
// by then.
func (s *subscriber) startNow(ctx context.Context) error {
	const (
		first = `insert into phantom.subscription_cursor (tenant_id, subscription, epoch, position) values ($1, $2, $3, $4)
			on conflict on constraint subscription_cursor_pkey do nothing`
		begun = `update phantom.subscription set begun = true where subscription = $1`
	)
	heads, err := s.reader.Heads(ctx, s.log)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	for tenant, head := range heads {
		batch.Queue(setTenant, tenant, lockTimeout)
		batch.Queue(first, tenant, s.Name, s.epoch, head)
	}
	batch.Queue(begun, s.Name)
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("start subscription %s at the heads of now: %w", s.Name, err)
	}
	return nil
}

// places tells where all tenants stand.
func (s *subscriber) places(ctx context.Context) ([]Place, error) {
	rows, err := s.pool.Query(ctx, `select tenant_id, position from phantom.subscription_places($1)`, s.Name)
	if err != nil {
		return nil, s.because("(all)", err)
	}
	places, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Place])
	if err != nil {
		return nil, s.because("(all)", err)
	}
	return places, nil
}

// where tells where one tenant stands, and who the youngest runner is.
func (s *subscriber) where(ctx context.Context, tenant string) (position, epoch int64, err error) {
	const query = `select coalesce((select position from phantom.subscription_cursor where tenant_id = $1 and subscription = $2), 0),
		(select epoch from phantom.subscription where subscription = $2)`
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(query, tenant, s.Name).QueryRow(func(row pgx.Row) error { return row.Scan(&position, &epoch) })
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, 0, s.because(tenant, err)
	}
	return position, epoch, nil
}

// The first acknowledgement inserts the row; without it, a cursor beyond 0 means that the row was taken away. A runner
// that is not the youngest moves nothing.
const advanceSQL = `
insert into phantom.subscription_cursor as c (tenant_id, subscription, epoch, position)
select $1, $2, $3, $5::bigint
where ($4::bigint = 0 or exists (
    select 1 from phantom.subscription_cursor where tenant_id = $1 and subscription = $2))
  and not exists (select 1 from phantom.subscription s where s.subscription = $2 and s.epoch > $3)
on conflict on constraint subscription_cursor_pkey do update
set position = excluded.position, epoch = excluded.epoch, updated_at = clock_timestamp(),
    error = null, error_position = null, failed_at = null
where c.position = $4 and c.epoch <= excluded.epoch`

// advance moves a tenant's cursor, or answers ErrMoved.
func (s *subscriber) advance(ctx context.Context, tenant string, from, to int64) error {
	moved := true
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	queued := batch.Queue(advanceSQL, tenant, s.Name, s.epoch, from, to)
	queued.Fn = func(results pgx.BatchResults) error {
		tag, err := results.Exec()
		moved = tag.RowsAffected() == 1
		return err
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return s.because(tenant, err)
	}
	if !moved {
		return s.because(tenant, ErrMoved)
	}
	return nil
}

const failSQL = `
insert into phantom.subscription_cursor as c
    (tenant_id, subscription, epoch, position, error, error_position, failed_at)
select $1, $2, $3, $4::bigint, $5::text, $6::bigint, clock_timestamp()
where ($4 = 0 or exists (
    select 1 from phantom.subscription_cursor where tenant_id = $1 and subscription = $2))
  and not exists (select 1 from phantom.subscription s where s.subscription = $2 and s.epoch > $3)
on conflict on constraint subscription_cursor_pkey do update
set error = excluded.error, error_position = excluded.error_position, failed_at = excluded.failed_at
where c.position = $4 and c.epoch <= excluded.epoch`

// fail writes down why a tenant does not move from a position. blamed is the event that is to blame; 0 when none is known.
func (s *subscriber) fail(ctx context.Context, tenant string, at, blamed int64, cause error) error {
	var position *int64
	if blamed > 0 {
		position = &blamed
	}
	var batch pgx.Batch
	batch.Queue(setTenant, tenant, lockTimeout)
	batch.Queue(failSQL, tenant, s.Name, s.epoch, at, cause.Error(), position)
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return s.because(tenant, err)
	}
	return nil
}

// seen says that this runner lives, unless there is a younger one.
func (s *subscriber) seen(ctx context.Context) (youngest bool, err error) {
	const query = `update phantom.subscription set seen_at = clock_timestamp() where subscription = $1 and epoch = $2`
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tag, err := s.pool.Exec(ctx, query, s.Name, s.epoch)
	if err != nil {
		return false, fmt.Errorf("beat of subscription %s: %w", s.Name, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Deserted implements Work, by the database's clock.
func (s *subscriber) Deserted(ctx context.Context, silence time.Duration) (deserted bool, err error) {
	const query = `select coalesce(seen_at < clock_timestamp() - make_interval(secs => $2), true)
		from phantom.subscription where subscription = $1`
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.pool.QueryRow(ctx, query, s.Name, silence.Seconds()).Scan(&deserted); err != nil {
		return false, fmt.Errorf("who runs subscription %s: %w", s.Name, err)
	}
	return deserted, nil
}

// leave lets a runner that stands by take over at once.
func (s *subscriber) leave(ctx context.Context) error {
	const query = `update phantom.subscription set seen_at = null where subscription = $1 and epoch = $2`
	if _, err := s.pool.Exec(ctx, query, s.Name, s.epoch); err != nil {
		return fmt.Errorf("leave subscription %s: %w", s.Name, err)
	}
	return nil
}
