package eventstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
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
	// surelyEvery is how often all heads are asked for, which costs a lookup for each tenant, and surelyShare how many
	// times as long as that took it rests at least. It finds what the cheap look cannot, see feed_changed.
	surelyEvery = time.Minute
	surelyShare = 100
	// relistenAfter is the rest after a listening connection was lost.
	relistenAfter = 250 * time.Millisecond
	// probeEvery is how often a tail says that it is there, and how long a silent listening connection is believed to hear.
	probeEvery = 15 * time.Second
	// company is for how long the word of another tail counts. Who hears of none notifies nobody.
	company = 3 * probeEvery
	// answerWithin is how long the answers to the first probe of a connection may take.
	answerWithin = time.Second
	// tailTimeout bounds each of the tail's own calls, and the way of a probe.
	tailTimeout = 5 * time.Second
)

// Tail knows who has news in a log: the last position of every tenant. One a process and log is enough for all of its
// followers, who then read those tenants only.
//
// What it promises: a commit becomes news; of this process at once, of another one that runs a Tail within milliseconds,
// of any other within seconds, also when the listening connection is lost or a pooler swallows what it should hear. How
// many tenants there are costs it a scan of their heads at each look, and memory.
//
// What it does not: it never goes back, and a notification is believed: news may be of a position that is not there, so
// followers believe the log. A head row's transaction id that a vacuum took away is found within a minute, not seconds.
//
// Nothing of it happens inside an append: a NOTIFY in the transaction of an append would make all commits queue, and a
// row that tells who has news would be a further write.
type Tail struct {
	store  *Store
	log    Log
	known  *known
	recent recent
	// reading is full while a follower reads for the others too.
	reading chan struct{}
	untold  gathered      // own appends that other processes were not told of
	outbox  *News         // those that it is time to tell
	asked   chan struct{} // to look now
	hears   atomic.Bool   // notifications of this process come back to it
	probe   string        // the payload that shows it, and tells other tails of this one; a connection's own, and listen's
	// others is until when other tails are believed to be there.
	others atomic.Pointer[time.Time]
}

// NewTail makes the tail of a log. It does nothing until Run.
func NewTail(store *Store, log Log) *Tail {
	t := &Tail{
		store: store, log: log, known: newKnown(), outbox: newNews(nil),
		asked: make(chan struct{}, 1), reading: make(chan struct{}, 1),
	}
	t.untold.gap, t.untold.tell = notifyGap, t.outbox.put
	return t
}

// News begins to follow who has news; close it.
func (t *Tail) News() *News { return t.known.follow() }

// Log is the log that it is the tail of.
func (t *Tail) Log() Log { return t.log }

// Run notifies, listens and polls until the context ends, and returns its error then. It holds one connection beside
// the pool's. Failures of the database are waited out: they delay news and lose none.
func (t *Tail) Run(ctx context.Context) error {
	if !t.log.valid() {
		return malformed("log %q: it is lifecycle or inference", t.log)
	}
	defer t.store.news[t.log].join(t)()
	var all sync.WaitGroup
	for _, part := range []func(context.Context){t.notify, t.listen, t.poll} {
		all.Go(func() { part(ctx) })
	}
	all.Wait()
	return ctx.Err()
}

func (t *Tail) channel() string { return "phantom_" + string(t.log) }

// notify tells other processes of the appends of this one. What cannot be sent, their polling finds.
func (t *Tail) notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.outbox.C():
		}
		if fresh := t.outbox.Take(); len(fresh) > 0 && !t.alone() {
			_ = t.tell(ctx, payload(fresh))
		}
	}
}

// alone tells whether nobody would hear: none is left of the other tails, which say every now and then that they are
// there. A tail that does not hear cannot know.
func (t *Tail) alone() bool {
	until := t.others.Load()
	return t.hears.Load() && until != nil && time.Now().After(*until)
}

func (t *Tail) believe(others time.Duration) {
	until := time.Now().Add(others)
	if before := t.others.Load(); before == nil || until.After(*before) { // a word of before still counts
		t.others.Store(&until)
	}
}

// tell notifies. A notification needs no flush of its own: what a crash swallows, the polling finds.
func (t *Tail) tell(ctx context.Context, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	const query = `select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`
	_, err := t.store.pool.Exec(ctx, query, t.channel(), payload)
	return err
}

// listen hears other processes, and connects again when the connection is lost.
func (t *Tail) listen(ctx context.Context) {
	for {
		conn, err := t.connect(ctx)
		if err == nil {
			t.hear(ctx, conn)
			t.hears.Store(false)
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

// hear takes notifications in until the connection fails, is found deaf, or the context ends. That it can hear is shown
// by a notification of its own: a connection may be gone without a word, and a pooler may listen with another one. Until
// then, and again, the polling counts on nobody.
func (t *Tail) hear(ctx context.Context, conn *pgx.Conn) {
	t.probe = "?" + uuid.NewString() // the others answer whom they have not met
	met := map[string]struct{}{t.probe: {}}
	for {
		_ = t.tell(ctx, t.probe) // not sent, it is not heard either
		if next := time.Now().Add(probeEvery); !t.hearUntil(ctx, conn, next, met) {
			return
		}
	}
}

// hearUntil hears until it is time for the next probe; false when the connection is of no use any more.
func (t *Tail) hearUntil(ctx context.Context, conn *pgx.Conn, next time.Time, met map[string]struct{}) bool {
	deadline, heard := time.Now().Add(tailTimeout), false
	for {
		waiting, cancel := context.WithDeadline(ctx, deadline)
		told, err := conn.WaitForNotification(waiting)
		late := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil {
			return late && heard
		}
		heard, deadline = true, next
		t.take(told.Payload)
		if _, known := met[told.Payload]; isProbe(told.Payload) && !known {
			met[told.Payload] = struct{}{}
			t.look()                 // for what it told nobody while it knew of nobody
			_ = t.tell(ctx, t.probe) // so that the newcomer knows of this one
		}
	}
}

func isProbe(payload string) bool { return payload != "" && payload[0] == '?' }

// take learns from a notification.
func (t *Tail) take(text string) {
	if !t.hears.Swap(true) {
		t.believe(answerWithin)
		t.look() // for what was notified before
	}
	if isProbe(text) {
		if text != t.probe {
			t.believe(company)
		}
		return
	}
	fresh, tells := readPayload(text)
	if !tells {
		t.look()
	}
	for tenant, position := range fresh {
		t.known.learn(tenant, position)
	}
}

// look makes the polling look now, as far as its share allows.
func (t *Tail) look() {
	select {
	case t.asked <- struct{}{}:
	default:
	}
}

func closeNow(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is given up; what it fails with is of no use
}
