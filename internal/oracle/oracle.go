package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

const (
	processes     = 2
	followersPool = 16
	// catchUp bounds the time that followers have to reach the end when all is quiet again.
	catchUp = 60 * time.Second
	tellAll = 10 * time.Second
)

// Options say how to run the oracle.
type Options struct {
	Folder   string        // for PostgreSQL's data and the ledgers
	Duration time.Duration // of appending under faults; longer until the demands are met
	Patience time.Duration // how much longer; then the report tells what is missing
	Demands  Demands
	Seed     uint64 // 0: any
	Workers  int    // goroutines of each appending process
	// Distance is the mean time between two faults.
	Distance  time.Duration
	Fetched   bool // the PostgreSQL that is fetched where a machine has none
	Followers []Follower
	// Prepare breaks something on purpose before anything is appended, to see it found; may be nil.
	Prepare func(ctx context.Context, admin *pgxpool.Pool) error
	Out     io.Writer
}

// run is one run of the oracle.
type run struct {
	opts      Options
	world     *world
	proxies   []*proxy
	processes []*process
	tally     *tally
	book      *book
	reader    *Reader
	following []*followed
	naive     *naiveReader
	began     time.Time
	took      time.Duration
}

// followed is a follower at work.
type followed struct {
	Follower
	to       *Deliveries
	restarts int
}

// Run lets processes append and followers read under faults, and judges. The error tells that the oracle itself could
// not work; what the store did wrong is in the report. The program must hand AppendCommand to Append.
func Run(ctx context.Context, opts Options) (report Report, err error) {
	if opts.Seed == 0 {
		opts.Seed = rand.Uint64()
	}
	r := &run{opts: opts, tally: &tally{kinds: make(map[string]int)}, book: newBook(), naive: &naiveReader{delivered: make(map[int64]struct{})}}
	r.say("seed %d", opts.Seed)
	if r.world, err = newWorld(ctx, opts.Folder, opts.Fetched, opts.Out); err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }() //nolint:contextcheck // it ends what must not outlive this, also when ctx has ended
	if opts.Prepare != nil {
		if err := opts.Prepare(ctx, r.world.admin); err != nil {
			return Report{}, err
		}
	}
	if err := r.start(ctx); err != nil {
		return Report{}, err
	}
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	readers := r.follow(reading)
	if err := r.hurt(ctx); err != nil {
		stopReading()
		readers.Wait()
		return Report{}, err
	}
	report, err = r.judge(ctx, func() { stopReading(); readers.Wait() })
	return report, err
}

// say tells of the run's progress.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.opts.Out, "oracle: "+format+"\n", args...)
}

// start makes a proxy for each process and one for the followers, and starts the processes.
func (r *run) start(ctx context.Context) error {
	target, err := r.world.address()
	if err != nil {
		return err
	}
	program, err := self()
	if err != nil {
		return err
	}
	for i := range processes + 1 {
		p, err := newProxy(ctx, target)
		if err != nil {
			return err
		}
		r.proxies = append(r.proxies, p)
		dsn, err := r.world.throughProxy(p)
		if err != nil {
			return err
		}
		if i == processes {
			r.reader, err = newReader(ctx, dsn, r.tally.count)
			return err
		}
		one := &process{program: program, folder: r.opts.Folder, log: r.opts.Out, proxy: p}
		one.params = appenderParams{DSN: dsn, Process: i, Workers: r.opts.Workers, Seed: r.opts.Seed}
		r.processes = append(r.processes, one)
		if err := one.start(); err != nil {
			return err
		}
	}
	return nil
}

func newReader(ctx context.Context, dsn string, met func(string)) (*Reader, error) {
	settings, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the followers' DSN: %w", err)
	}
	settings.MaxConns = followersPool
	settings.ConnConfig.RuntimeParams["application_name"] = followerName
	settings.ConnConfig.ConnectTimeout = 5 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, err
	}
	store := eventstore.New(pool)
	return &Reader{Store: store, Pool: pool, met: met, Tails: map[eventstore.Log]*eventstore.Tail{
		eventstore.Lifecycle: eventstore.NewTail(store, eventstore.Lifecycle),
		eventstore.Inference: eventstore.NewTail(store, eventstore.Inference),
	}}, nil
}

// follow starts the followers, the tails and the naive reader; wait for them when the context has ended.
func (r *run) follow(ctx context.Context) *sync.WaitGroup {
	var all sync.WaitGroup
	for _, tail := range r.reader.Tails {
		all.Go(func() { _ = tail.Run(ctx) }) // it ends with the context
	}
	for _, f := range append(followers(), r.opts.Followers...) {
		one := &followed{Follower: f, to: newDeliveries(f.Log, f.Types)}
		r.following = append(r.following, one)
		all.Go(func() { one.run(ctx, r.reader) })
	}
	all.Go(func() { r.naive.run(ctx, r.reader.Pool) })
	return &all
}

// run goes on at the cursors after every error, as a process does that is started again.
func (f *followed) run(ctx context.Context, reader *Reader) {
	for ctx.Err() == nil {
		if err := f.Run(ctx, reader, f.to); err != nil && ctx.Err() == nil {
			f.restarts++
			rest(ctx, followerRest)
		}
	}
}

// hurt causes faults while the processes append, and lets these end in order.
func (r *run) hurt(ctx context.Context) error {
	r.began = time.Now()
	hurting, stop := context.WithTimeout(ctx, r.opts.Duration+r.opts.Patience)
	defer stop()
	injector := &injector{
		world: r.world, processes: r.processes, proxies: r.proxies, rng: rand.New(rand.NewPCG(r.opts.Seed, 1)),
		tally: r.tally, out: r.say, open: make(chan struct{}, foreignMost),
	}
	var all sync.WaitGroup
	all.Go(func() { injector.run(hurting, r.opts.Distance) })
	all.Go(func() { r.untilEnough(hurting); stop() })
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.say("the faults end; the processes learn their last outcomes")
	ended := make([]error, len(r.processes))
	for i, p := range r.processes {
		all.Go(func() { ended[i] = p.finish() })
	}
	all.Wait()
	r.took = time.Since(r.began)
	if err := errors.Join(ended...); err != nil {
		return err
	}
	for _, p := range r.processes {
		for _, path := range p.ledgers {
			if err := r.book.read(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilEnough returns when the time is over and the demands are met, and tells now and then how far it is.
func (r *run) untilEnough(ctx context.Context) {
	const stored = `select count(*) from lifecycle.events union all select count(*) from inference.events`
	least := r.opts.Demands
	told := r.began
	for ctx.Err() == nil {
		rest(ctx, 250*time.Millisecond)
		over := time.Since(r.began) >= r.opts.Duration
		if !over && time.Since(told) < tellAll {
			continue
		}
		events := 0
		if rows, err := r.world.admin.Query(ctx, stored); err == nil { // else it is being restarted
			var n int
			for rows.Next() && rows.Scan(&n) == nil {
				events += n
			}
			rows.Close()
		}
		faults := r.tally.total()
		if time.Since(told) >= tellAll {
			told = time.Now()
			r.say("%s: %d events, %d faults of its own", time.Since(r.began).Round(time.Second), events, faults)
		}
		// The processes count faults, too; calls that are still in flight add events. Both only make it more.
		if over && events >= least.Events && faults >= least.Faults {
			return
		}
	}
}

// judge waits until nothing is under way, reads the logs, and holds everything against them.
func (r *run) judge(ctx context.Context, stopReading func()) (Report, error) {
	if err := r.quiet(ctx); err != nil {
		return Report{}, err
	}
	found := newFindings()
	shelves, err := readLogs(ctx, r.world.admin, r.book, found)
	if err != nil {
		return Report{}, err
	}
	r.awaitFollowers(ctx, shelves)
	stopReading()
	report := Report{Seed: r.opts.Seed, Seconds: r.took.Seconds(), FaultsByKind: maps.Clone(r.tally.kinds)}
	if err := r.world.admin.QueryRow(ctx, `show server_version`).Scan(&report.Postgres); err != nil {
		return Report{}, fmt.Errorf("ask for the version: %w", err)
	}
	if err := judgeCommands(ctx, r.world.admin, r.book, found); err != nil {
		return Report{}, err
	}
	if report.Naive, err = r.naive.report(ctx, r.world.admin); err != nil {
		return Report{}, err
	}
	for _, f := range r.following {
		one, err := r.compare(ctx, f, shelves[f.Log])
		if err != nil {
			return Report{}, err
		}
		report.Followers = append(report.Followers, one)
	}
	report.Outcomes = r.book.settleCalls(found)
	for kind, n := range r.book.faults {
		report.FaultsByKind[kind] += n
	}
	for _, n := range report.FaultsByKind {
		report.Faults += n
	}
	report.Findings, report.Examples = found.counts, found.told
	for _, log := range shelves {
		for _, there := range log {
			report.Events += len(there.events)
		}
	}
	report.EventsPerSecond = float64(report.Events) / report.Seconds
	return report, nil
}

// quiet ends what may still be carried out for processes that are gone: afterwards the logs do not grow.
func (r *run) quiet(ctx context.Context) error {
	const rest = `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '` + appenderName + `'`
	for left := 1; left > 0; {
		if err := r.world.admin.QueryRow(ctx, rest).Scan(&left); err != nil {
			return fmt.Errorf("end the last appends: %w", err)
		}
	}
	return nil
}
