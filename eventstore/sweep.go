package eventstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// horizon is a transaction id: everything older had ended when it was read. The zero value is before everything.
type horizon int64

// poll looks for news itself: rarely while notifications are heard, else at a pace that follows the news.
func (t *Tail) poll(ctx context.Context) {
	var since horizon
	var surely time.Time // when all heads are asked for again
	pause, least := pollLeast, time.Duration(0)
	for {
		began := time.Now()
		all := !began.Before(surely)
		next, grew, err := t.sweep(ctx, since, all)
		took := time.Since(began)
		switch {
		case err != nil:
			pause, least = pollMost, pollMost
		case grew:
			pause = pollLeast
		default:
			pause = min(2*pause, pollMost)
		}
		if err == nil {
			since, least = next, pollShare*took
			if all {
				surely, least = time.Now().Add(max(surelyEvery, surelyShare*took)), pollLeast
			}
		}
		if !t.doze(ctx, least, pause) {
			return
		}
	}
}

// doze rests before the next look: at least so long, and then until it is asked or the pause is over.
func (t *Tail) doze(ctx context.Context, least, pause time.Duration) bool {
	if !rest(ctx, least) {
		return false
	}
	if t.hears.Load() {
		pause = max(pause, sweepEvery)
	}
	timer := time.NewTimer(pause - least)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.asked:
	case <-timer.C:
	}
	return true
}

// sweep learns who has appended since a horizon, or where every tenant stands, and answers with the next horizon. That
// one is read first: who appended before it is seen by what is read after it.
func (t *Tail) sweep(ctx context.Context, since horizon, all bool) (next horizon, grew bool, err error) {
	const (
		oldest  = `select pg_snapshot_xmin(pg_current_snapshot())::text::bigint`
		changed = `select tenant, last_position from lifecycle.feed_changed($1)`
		heads   = `select tenant, last_position from lifecycle.feed_heads()`
	)
	query, args, limit := t.log.in(changed), []any{int64(since)}, tailTimeout
	if all {
		query, args, limit = t.log.in(heads), nil, callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue(oldest).QueryRow(func(row pgx.Row) error { return row.Scan(&next) })
	batch.Queue(query, args...).Query(func(rows pgx.Rows) error {
		var tenant string
		var position int64
		_, err := pgx.ForEachRow(rows, []any{&tenant, &position}, func() error {
			grew = t.known.learn(tenant, position) || grew
			return nil
		})
		return err
	})
	err = t.store.pool.SendBatch(ctx, batch).Close()
	return next, grew, err
}

// rest waits, and tells whether the context still lasts.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
