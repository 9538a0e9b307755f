package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

const (
	appenderName = "oracle-appender" // application_name of its connections
	appenderPool = 8
	// windDown is how long a process that was told to stop still tries to learn its outcomes.
	windDown = 60 * time.Second
	// restMost is the longest rest between two attempts.
	restMost = 100 * time.Millisecond
)

// appenderParams are what a process is started with, as JSON in its first argument.
type appenderParams struct {
	DSN        string   `json:"dsn"`
	Ledger     string   `json:"ledger"`
	Successor  []string `json:"successor,omitempty"` // ledgers of its former lives
	Process    int      `json:"process"`
	Life       int      `json:"life"`
	Workers    int      `json:"workers"`
	Seed       uint64   `json:"seed"`
	CallsAPace int      `json:"calls_a_pace,omitempty"` // calls a second of one worker; 0 is as fast as it goes
}

// appender is the process that appends.
type appender struct {
	params appenderParams
	ledger *ledger
	pool   *pgxpool.Pool
	store  *eventstore.Store
	known  *revisions
	broken atomic.Pointer[error] // the ledger cannot be written: nothing counts any more
}

// Append is the program of an appending process. It works until its standard input ends, then learns what became of its
// last calls, and returns. It may be killed at any moment.
func Append(argument string, input io.Reader) error {
	var params appenderParams
	if err := json.Unmarshal([]byte(argument), &params); err != nil {
		return fmt.Errorf("decode the appender's parameters: %w", err)
	}
	stop, stopNow := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, input) // however it ends, its parent wants no more, or is gone
		stopNow()
	}()
	a := &appender{params: params, known: &revisions{known: make(map[streamPlace]int64)}}
	return a.run(stop)
}

func (a *appender) run(stop context.Context) (err error) {
	if a.ledger, err = openLedger(a.params.Ledger); err != nil {
		return err
	}
	if a.pool, err = a.connect(); err != nil {
		return err
	}
	defer a.pool.Close()
	a.store = eventstore.New(a.pool)
	inherited, err := a.inherit()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for i := range a.params.Workers {
		all.Go(func() { a.work(stop, i, inherited[i]) })
	}
	all.Wait()
	if broken := a.broken.Load(); broken != nil {
		return *broken
	}
	return nil
}

// connect makes a pool of which a part of the connections has little patience.
func (a *appender) connect() (*pgxpool.Pool, error) {
	settings, err := pgxpool.ParseConfig(a.params.DSN)
	if err != nil {
		return nil, fmt.Errorf("read the appender's DSN: %w", err)
	}
	settings.MaxConns = appenderPool
	settings.MaxConnLifetime = 10 * time.Second // so that patience is drawn again
	settings.ConnConfig.RuntimeParams["application_name"] = appenderName
	settings.ConnConfig.ConnectTimeout = 5 * time.Second
	settings.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		switch rand.IntN(4) {
		case 0:
			config.RuntimeParams["lock_timeout"] = "30ms"
		case 1:
			config.RuntimeParams["statement_timeout"] = "60ms"
		}
		return nil
	}
	return pgxpool.NewWithConfig(context.Background(), settings)
}

// inherit deals every other call that the last life left open to the workers; of the rest nobody ever learns.
func (a *appender) inherit() ([][]call, error) {
	b := newBook()
	for _, path := range a.params.Successor {
		if err := b.read(path); err != nil {
			return nil, err
		}
	}
	dealt := make([][]call, a.params.Workers)
	for _, c := range b.open() {
		if c.ID%2 == 0 {
			w := int(c.ID>>32) % a.params.Workers
			dealt[w] = append(dealt[w], c)
		}
	}
	return dealt, nil
}

func (a *appender) work(stop context.Context, number int, inherited []call) {
	p := a.params
	rng := rand.New(rand.NewPCG(p.Seed, uint64(newCallID(p.Process, p.Life, number, 0))))
	w := &worker{process: p.Process, life: p.Life, number: number, rng: rng, known: a.known}
	for _, c := range inherited {
		a.settle(stop, w, c, true)
	}
	for stop.Err() == nil && a.broken.Load() == nil {
		a.settle(stop, w, w.next(), false)
		switch w.rng.IntN(12) {
		case 0:
			a.again(stop, w)
		case 1:
			a.race(stop, w)
		case 2, 3, 4:
			a.naive(stop, w)
		}
		if w.rng.IntN(2000) == 0 {
			a.write(entry{Fault: "pool reset"})
			a.pool.Reset()
		}
		if p.CallsAPace > 0 {
			rest(stop, time.Second/time.Duration(p.CallsAPace))
		}
	}
}

// write makes a line count; a ledger that cannot be written ends the process.
func (a *appender) write(e entry) {
	if err := a.ledger.write(e); err != nil {
		a.broken.CompareAndSwap(nil, &err)
	}
}

// settle sends a call until its outcome is known, and writes it down before it counts.
func (a *appender) settle(stop context.Context, w *worker, c call, unsure bool) {
	a.write(entry{Try: &c})
	done, refusal, unsure := a.insist(stop, w.rng, c, unsure)
	switch {
	case refusal != nil:
		a.write(entry{Done: &answer{Call: c.ID, Unsure: unsure}})
		a.learn(c, refusal)
	case done != nil:
		answered := answerOf(c, done, unsure)
		a.write(entry{Done: &answered})
		a.check(c, done, unsure)
		w.remember(c, done)
	}
}

// learn takes from a conflict where the stream is.
func (a *appender) learn(c call, refusal error) {
	if conflict, ok := errors.AsType[*eventstore.Conflict](refusal); ok {
		a.known.saw(streamPlace{c.Log, c.Tenant, conflict.Stream.ID}, conflict.Actual)
		if conflict.Expected.Admits(conflict.Actual) && c.Refused == "" {
			a.write(entry{Wrong: fmt.Sprintf("call %s: refused, though its expectation holds: %v", c.ID, conflict)})
		}
	}
}

// check compares an answer with what the call asked for.
func (a *appender) check(c call, done []eventstore.Appended, unsure bool) {
	if c.Refused != "" {
		a.write(entry{Wrong: fmt.Sprintf("call %s was taken, though %s", c.ID, c.Refused)})
	}
	for i, p := range c.Parts {
		if before := done[i].Revision - int64(len(c.keys(i))); !p.Skip && !unsure && !p.Expect.expectation().Admits(before) {
			a.write(entry{Wrong: fmt.Sprintf("call %s, part %d: taken at revision %d, though it expected %s", c.ID, i, before, p.Expect.expectation())})
		}
	}
}

// insist repeats a call until it is taken or refused. Neither, when the process must end before.
func (a *appender) insist(stop context.Context, rng *rand.Rand, c call, unsure bool) (done []eventstore.Appended, refusal error, _ bool) {
	var ends time.Time
	for pause := time.Millisecond; a.broken.Load() == nil; pause = min(2*pause, restMost) {
		done, err := a.attempt(rng, c)
		if err == nil {
			return done, nil, unsure
		}
		if refused(err) {
			return nil, err, unsure
		}
		if errors.Is(err, eventstore.ErrMalformed) {
			a.write(entry{Wrong: fmt.Sprintf("call %s: %v", c.ID, err)})
			return nil, nil, true
		}
		unsure = true
		a.met(err)
		if stop.Err() != nil {
			if ends.IsZero() {
				ends = time.Now().Add(windDown)
			}
			if time.Now().After(ends) {
				break
			}
		}
		rest(context.Background(), pause)
	}
	return nil, nil, true
}

func refused(err error) bool {
	return errors.Is(err, eventstore.ErrWrongVersion) || errors.Is(err, eventstore.ErrDuplicateEvent) || errors.Is(err, eventstore.ErrDuplicateCommand)
}

// attempt sends a call once. One of a hundred is given up at a random moment.
func (a *appender) attempt(rng *rand.Rand, c call) ([]eventstore.Appended, error) {
	patience := 20 * time.Second
	if rng.IntN(100) == 0 {
		patience = time.Duration(rng.IntN(8000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return a.store.Append(ctx, c.Tenant, c.Log, c.appends(), c.record())
}

// met writes down a fault that the caller felt.
func (a *appender) met(err error) {
	const lockTimeout, cancelled = "55P03", "57014"
	answered, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && answered.Code == lockTimeout:
		a.write(entry{Fault: "lock timeout"})
	case ok && answered.Code == cancelled:
		a.write(entry{Fault: "statement timeout or cancelled statement"})
	case errors.Is(err, context.DeadlineExceeded):
		a.write(entry{Fault: "context ended in an append"})
	}
}

// again repeats a call of the past: the answer is the first one.
func (a *appender) again(stop context.Context, w *worker) {
	if len(w.past) == 0 {
		return
	}
	old := w.past[w.rng.IntN(len(w.past))]
	if len(old.call.Parts) == 0 || len(old.call.keys(0)) == 0 {
		return
	}
	done, refusal, _ := a.insist(stop, w.rng, old.call, false)
	if refusal != nil {
		a.write(entry{Wrong: fmt.Sprintf("call %s: refused when it was repeated: %v", old.call.ID, refusal)})
	}
	if done == nil {
		return
	}
	if difference := old.differs(done); difference != "" {
		a.write(entry{Wrong: fmt.Sprintf("call %s: repeated with another answer: %s", old.call.ID, difference)})
	}
}

// race sends one call twice at once: both are answered alike.
func (a *appender) race(stop context.Context, w *worker) {
	c := w.fresh(w.draft())
	a.write(entry{Try: &c})
	var first, second []eventstore.Appended
	other := rand.New(rand.NewPCG(w.rng.Uint64(), 0))
	var both sync.WaitGroup
	both.Go(func() { first, _, _ = a.insist(stop, w.rng, c, false) })
	both.Go(func() { second, _, _ = a.insist(stop, other, c, false) })
	both.Wait()
	if first == nil || second == nil {
		return
	}
	answered := answerOf(c, first, true)
	a.write(entry{Done: &answered})
	if first[0].Revision != second[0].Revision || first[0].Position != second[0].Position || !first[0].Repeated && !second[0].Repeated {
		a.write(entry{Wrong: fmt.Sprintf("call %s, sent twice at once: %+v and %+v", c.ID, first[0], second[0])})
	}
	w.remember(c, first)
}

// naive adds a row to the naive table as it is usually done: the number is drawn first, and seen when it is committed.
func (a *appender) naive(stop context.Context, w *worker) {
	ctx, cancel := context.WithTimeout(stop, time.Second)
	defer cancel()
	_, _ = a.pool.Exec(ctx, insertNaive, w.process) // whether it came through, the table tells
}

// rest waits, or until the context ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
