package eventstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// How a tail paces itself.
const (
	// notifyGap is the least time between two notifications of a process: what is appended meanwhile travels together.
	notifyGap = 10 * time.Millisecond
	// pollLeast and pollMost bound the polling while nobody can be heard: quick after news, slower when it is quiet.
	pollLeast = 20 * time.Millisecond
	pollMost  = time.Second
	// sweepEvery is the polling while notifications are heard: a net for those that were lost.
	sweepEvery = 2 * time.Second
	// pollShare is how many times as long as a poll took it rests: polling many tenants takes no more than its share.
	pollShare = 20
	// relistenAfter is the rest after a listening connection was lost.
	relistenAfter = 250 * time.Millisecond
	// probeAfter is how long a silent listening connection is believed to be alive.
	probeAfter = 15 * time.Second
	// tailTimeout bounds each of the tail's own calls.
	tailTimeout = 5 * time.Second
)

// Tail tells followers that something may be new in a log. One a process and log is enough for all of its followers.
//
// What it promises: a hint follows each commit; of this process at once, of another one that runs a Tail within
// milliseconds, of any other within seconds, also when the listening connection is lost or a pooler swallows it.
//
// What it does not: a hint is never the truth and may come for nothing. Followers read the log, and also sweep.
//
// Nothing of it happens inside an append: a NOTIFY in the transaction of an append would make all commits queue.
type Tail struct {
	store     *Store
	log       Log
	hints     broadcast
	listening atomic.Bool
}

// NewTail makes the tail of a log. It does nothing until Run.
func NewTail(store *Store, log Log) *Tail { return &Tail{store: store, log: log} }

// Subscribe hears the hints. A hint that finds another one waiting is merged with it; the channel is never closed.
// unsubscribe may be called more than once.
func (t *Tail) Subscribe() (hints <-chan struct{}, unsubscribe func()) { return t.hints.listen() }

// Run relays, notifies, listens and polls until the context ends, and returns its error then. It holds one connection
// beside the pool's. Failures of the database are waited out: they delay hints and lose none.
func (t *Tail) Run(ctx context.Context) error {
	if !t.log.valid() {
		return malformed("log %q: it is lifecycle or inference", t.log)
	}
	var all sync.WaitGroup
	for _, part := range []func(context.Context){t.relay, t.notify, t.listen, t.poll} {
		all.Go(func() { part(ctx) })
	}
	all.Wait()
	return ctx.Err()
}

func (t *Tail) channel() string { return "phantom_" + string(t.log) }

// relay wakes the followers in this process after its own appends.
func (t *Tail) relay(ctx context.Context) {
	news, stop := t.store.news[t.log].listen()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			t.hints.send()
		}
	}
}

// notify wakes other processes after appends of this one. What cannot be sent, their polling finds.
func (t *Tail) notify(ctx context.Context) {
	news, stop := t.store.news[t.log].listen()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
		_ = t.tellOthers(ctx)
		if !rest(ctx, notifyGap) {
			return
		}
	}
}

func (t *Tail) tellOthers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	_, err := t.store.pool.Exec(ctx, `select pg_notify($1, '')`, t.channel())
	return err
}

// listen hears other processes, and connects again when the connection is lost.
func (t *Tail) listen(ctx context.Context) {
	for {
		conn, err := t.connect(ctx)
		if err == nil {
			t.listening.Store(true)
			t.hints.send() // for what was notified before
			t.hear(ctx, conn)
			t.listening.Store(false)
			closeNow(ctx, conn)
		}
		if !rest(ctx, relistenAfter) {
			return
		}
	}
}

// connect takes a connection out of the pool for good and listens on it.
func (t *Tail) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	taken, err := t.store.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := taken.Hijack()
	if _, err := conn.Exec(ctx, "listen "+t.channel()); err != nil {
		closeNow(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// hear passes notifications on until the connection fails or the context ends. Silence is probed: a connection may be
// gone without a word.
func (t *Tail) hear(ctx context.Context, conn *pgx.Conn) {
	for {
		waiting, cancel := context.WithTimeout(ctx, probeAfter)
		_, err := conn.WaitForNotification(waiting)
		silent := waiting.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			t.hints.send()
		case !silent || !answers(ctx, conn):
			return
		}
	}
}

func answers(ctx context.Context, conn *pgx.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	return conn.Ping(ctx) == nil
}

func closeNow(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is given up; what it fails with is of no use
}

// poll looks for news itself: rarely while notifications are heard, else at a pace that follows the news.
func (t *Tail) poll(ctx context.Context) {
	var last int64
	pause := pollLeast
	for {
		began := time.Now()
		total, err := t.total(ctx)
		switch {
		case err != nil:
			pause = pollMost
		case total != last:
			last = total
			t.hints.send()
			pause = pollLeast
		default:
			pause = min(2*pause, pollMost)
		}
		wait := max(pause, pollShare*time.Since(began))
		if t.listening.Load() {
			wait = max(wait, sweepEvery)
		}
		if !rest(ctx, wait) {
			return
		}
	}
}

// total is the sum of all tenants' last positions: it grows with every event.
func (t *Tail) total(ctx context.Context) (int64, error) {
	const query = `select coalesce(sum(last_position), 0)::bigint from lifecycle.feed_heads()`
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	var total int64
	err := t.store.pool.QueryRow(ctx, t.log.in(query)).Scan(&total)
	return total, err
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
