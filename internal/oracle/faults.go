package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
)

// foreignMost bounds the foreign transactions and holds that are open at once.
const foreignMost = 10

// tally counts faults by kind.
type tally struct {
	mu    sync.Mutex
	kinds map[string]int
}

func (t *tally) count(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kinds[kind]++
}

// injector causes faults, one after the other, some of which last for a while.
type injector struct {
	world     *world
	processes []*process
	proxies   []*proxy
	rng       *rand.Rand // of the loop alone
	tally     *tally
	out       func(format string, args ...any)
	open      chan struct{} // slots of those that last
	lasting   sync.WaitGroup
}

// fault is one kind. Its weight is its share of all faults.
type fault struct {
	name   string
	weight int
	lasts  bool // it runs beside the others
	cause  func(ctx context.Context, f *injector, rng *rand.Rand) error
}

func faults() []fault {
	return []fault{
		{"rollback of a foreign transaction that held heads", 16, true, holdHeads},
		{"early transaction held open", 12, true, early},
		{"foreign savepoint", 10, true, savepoint},
		{"held row", 10, true, holdRow},
		{"foreign snapshot", 6, true, snapshot},
		{"backend terminated", 12, false, signalBackend("pg_terminate_backend")},
		{"statement cancelled", 10, false, signalBackend("pg_cancel_backend")},
		{"connections cut", 10, false, cutSome},
		{"all connections of a process cut", 3, false, cutAll},
		{"process stopped for a while", 5, true, freeze},
		{"process killed", 3, false, kill},
		{"backend killed with SIGKILL", 1, false, killBackend},
		{"PostgreSQL stopped at once", 1, false, crash},
	}
}

// run causes faults at a mean distance until the context ends: each kind once in some order, then as the weights say.
func (f *injector) run(ctx context.Context, distance time.Duration) {
	all := faults()
	f.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	weights := 0
	for _, one := range all {
		weights += one.weight
	}
	for n := 0; ctx.Err() == nil; n++ {
		next := all[n%len(all)]
		if n >= len(all) {
			next = draw(all, f.rng.IntN(weights))
		}
		f.cause(ctx, next)
		rest(ctx, time.Duration(f.rng.Int64N(int64(2*distance))))
	}
	f.lasting.Wait()
}

func draw(all []fault, at int) fault {
	for _, one := range all {
		if at -= one.weight; at < 0 {
			return one
		}
	}
	return all[len(all)-1]
}

func (f *injector) cause(ctx context.Context, one fault) {
	rng := rand.New(rand.NewPCG(f.rng.Uint64(), 0))
	work := func() {
		switch err := one.cause(ctx, f, rng); {
		case err == nil:
			f.tally.count(one.name)
		case !errors.Is(err, errNothing) && ctx.Err() == nil:
			f.tally.count("met another fault: " + one.name) // PostgreSQL went away under it: it was rolled back all the same
		}
	}
	if !one.lasts {
		work()
		return
	}
	select {
	case f.open <- struct{}{}:
		f.lasting.Go(func() { work(); <-f.open })
	default: // enough are under way
	}
}

// errNothing says that there was nothing to hurt.
var errNothing = errors.New("nothing to hurt")

// foreign runs statements in a transaction of a superuser, holds it open, and ends it.
func (f *injector) foreign(ctx context.Context, rng *rand.Rand, most time.Duration, commit bool, work func(pgx.Tx) error) error {
	tx, err := f.world.admin.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it ended before, or its connection did
	if err := work(tx); err != nil {
		return err
	}
	rest(ctx, time.Duration(rng.Int64N(int64(most))))
	ctx = context.WithoutCancel(ctx)
	if commit {
		return tx.Commit(ctx)
	}
	return tx.Rollback(ctx)
}

const lockHead = `select from %s.heads where tenant_id = $1 for update`

func anyLog(rng *rand.Rand) eventstore.Log {
	if rng.IntN(3) == 0 {
		return eventstore.Inference
	}
	return eventstore.Lifecycle
}

// holdHeads keeps up to three tenants waiting. Heads are locked in order, so that no two of these lock each other out.
func holdHeads(ctx context.Context, f *injector, rng *rand.Rand) error {
	log, first := anyLog(rng), rng.IntN(tenants)
	return f.foreign(ctx, rng, 200*time.Millisecond, false, func(tx pgx.Tx) error {
		for i := first; i < min(first+1+rng.IntN(3), tenants); i++ {
			if _, err := tx.Exec(ctx, fmt.Sprintf(lockHead, log), tenantName(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// early writes before others and commits, or not, long after them: what was numbered first is seen last.
func early(ctx context.Context, f *injector, rng *rand.Rand) error {
	return f.foreign(ctx, rng, 1500*time.Millisecond, rng.IntN(4) > 0, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into oracle.unrelated default values`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertNaive, -1)
		return err
	})
}

// savepoint gives a head back in the middle of its transaction and takes another.
func savepoint(ctx context.Context, f *injector, rng *rand.Rand) error {
	log := anyLog(rng)
	return f.foreign(ctx, rng, 150*time.Millisecond, rng.IntN(2) == 0, func(tx pgx.Tx) error {
		inner, err := tx.Begin(ctx) // a savepoint
		if err != nil {
			return err
		}
		if _, err := inner.Exec(ctx, fmt.Sprintf(lockHead, log), tenantName(rng.IntN(tenants))); err != nil {
			return err
		}
		if _, err := inner.Exec(ctx, insertNaive, -2); err != nil {
			return err
		}
		if err := inner.Rollback(ctx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, fmt.Sprintf(lockHead, log), tenantName(rng.IntN(tenants)))
		return err
	})
}

// holdRow keeps the rows of Held events from being there, after their call has its positions.
func holdRow(ctx context.Context, f *injector, rng *rand.Rand) error {
	return f.foreign(ctx, rng, 400*time.Millisecond, true, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, heldLock)
		return err
	})
}

// snapshot keeps old row versions alive.
func snapshot(ctx context.Context, f *injector, rng *rand.Rand) error {
	return f.foreign(ctx, rng, 1500*time.Millisecond, false, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `set transaction isolation level repeatable read; select count(*) from lifecycle.heads`)
		return err
	})
}

// victim is a backend of an appender or a follower: rather one that is at work.
const victim = `select pid from pg_stat_activity where application_name in ('` + appenderName + `', '` + followerName + `')
	order by (state <> 'active'), random() limit 1`

func signalBackend(how string) func(context.Context, *injector, *rand.Rand) error {
	return func(ctx context.Context, f *injector, _ *rand.Rand) error {
		var done bool
		err := f.world.admin.QueryRow(ctx, `select `+how+`(pid) from (`+victim+`) v`).Scan(&done)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !done {
			return errNothing
		}
		return err
	}
}

// killBackend takes PostgreSQL's other processes with it: the server throws out all sessions and recovers.
func killBackend(ctx context.Context, f *injector, _ *rand.Rand) error {
	var pid int
	if err := f.world.admin.QueryRow(ctx, victim).Scan(&pid); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill backend %d: %w", pid, err)
	}
	return f.untilItServes(ctx)
}

func crash(ctx context.Context, f *injector, _ *rand.Rand) error {
	if err := f.world.crash(ctx); err != nil {
		f.out("PostgreSQL did not come back: %v", err)
		return err
	}
	return f.untilItServes(ctx)
}

func (f *injector) untilItServes(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, err := f.world.admin.Exec(ctx, `select`); err == nil {
			return nil
		}
		rest(ctx, followerRest)
	}
	return ctx.Err()
}

func cutSome(_ context.Context, f *injector, rng *rand.Rand) error {
	return hurt(f.proxies[rng.IntN(len(f.proxies))].cut(0.3))
}

func cutAll(_ context.Context, f *injector, rng *rand.Rand) error {
	return hurt(f.proxies[rng.IntN(len(f.proxies))].cut(1.1))
}

func hurt(n int) error {
	if n == 0 {
		return errNothing
	}
	return nil
}

func freeze(ctx context.Context, f *injector, rng *rand.Rand) error {
	release, err := f.processes[rng.IntN(len(f.processes))].freeze()
	if err != nil {
		return err
	}
	defer release()
	rest(ctx, time.Duration(rng.Int64N(int64(500*time.Millisecond))))
	return nil
}

func kill(_ context.Context, f *injector, rng *rand.Rand) error {
	victim := f.processes[rng.IntN(len(f.processes))]
	if err := victim.killAndStart(); err != nil {
		f.out("%s", "appending process "+strconv.Itoa(victim.params.Process)+" is gone: "+err.Error())
		return err
	}
	return nil
}
