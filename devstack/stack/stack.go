package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"phantom/internal/config"
)

// Options say which stack to run.
type Options struct {
	Folder  string    // where the worker runs and phantom.yaml lies
	State   string    // the state folder, `.phantom` under Folder for the main stack
	Worker  string    // the phantom-worker program; empty: neither a worker nor migrations
	Self    string    // the phantom-dev program, for the guard where the kernel is none
	Environ []string  // NAME=value lines of the user
	Out     io.Writer // one line for each step of a start
	Scratch bool      // for tests: free ports, and data that starts empty, is not made crash-safe, and ends with the stack

	Durable      bool // with Scratch: the data is made crash-safe all the same, as in production
	OnlyPostgres bool // no Temporal
	Fetched      bool // the PostgreSQL that Phantom fetches where a machine has none, on every machine
}

// careless says whether a crash may cost the data.
func (o Options) careless() bool { return o.Scratch && !o.Durable }

// Stack is a running stack of this process.
type Stack struct {
	opts   Options
	cfg    config.Config
	lock   *lock
	launch *launcher
	guard  io.Closer

	parts  []*part // in the order of their start; fixed when Up answers
	deaths chan Death
	asked  chan os.Signal // somebody wants what died started; heard from before anybody can ask

	reviving sync.Mutex // one Revive at a time

	mu      sync.Mutex // guards what follows, and the stack file
	told    config.Stack
	starts  int
	failure string
}

// Death tells that a part ended that nobody stopped.
type Death struct {
	Part   string
	Reason string // how the process ended
	Log    string // the file that holds its last words
}

func (d Death) String() string {
	return fmt.Sprintf("%s ended (%s); its log is %s", d.Part, d.Reason, d.Log)
}

// Up starts what the options ask for and answers when all of it serves. The caller owns the Stack and
// closes it. A stack that runs already on this state folder is *AlreadyRunning.
func Up(ctx context.Context, opts Options) (_ *Stack, err error) {
	cfg, err := config.LoadIn(opts.Folder, ownEnvironment(opts))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(opts.State, "logs"), 0o755); err != nil { // PostgreSQL's user passes through
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	held, err := takeLock(opts.State)
	if err != nil {
		return nil, err
	}
	s := &Stack{opts: opts, cfg: cfg, lock: held, launch: newLauncher(), deaths: make(chan Death, 16), asked: make(chan os.Signal, 1)}
	signal.Notify(s.asked, syscall.SIGUSR1)
	defer func() { //nolint:contextcheck // Close takes its own time, also when ctx has ended
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	turn, err := startTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.Close() //nolint:errcheck // gives the lock back; nothing was written
	if err := s.plan(ctx); err != nil {
		return nil, err
	}
	return s, s.Revive(ctx)
}

// startTurn lets one stack of a user start at a time: a port that is free when it is chosen is taken only
// when its part serves, and another start would choose it too.
func startTurn(ctx context.Context) (io.Closer, error) {
	cache, err := CacheFolder()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	return takeTurn(ctx, filepath.Join(cache, "start.lock"))
}

// ownEnvironment hides from a scratch stack what would replace its parts.
func ownEnvironment(opts Options) config.Lookup {
	if opts.Scratch {
		return config.In(Scrub(opts.Environ))
	}
	return config.In(opts.Environ)
}

// prepare clears what a dead supervisor left behind.
func (s *Stack) prepare() error {
	if err := reap(s.opts.State); err != nil {
		return err
	}
	if s.opts.Scratch {
		if err := errors.Join(wipe(s.opts.State), emptyLogs(s.opts.State)); err != nil {
			return err
		}
	}
	guard, err := s.launch.guard(s.opts)
	s.guard = guard
	return err
}

// plan decides the parts, their ports and how each is started.
func (s *Stack) plan(ctx context.Context) error {
	free, err := choosePorts(ctx, s.opts, s.cfg)
	if err != nil {
		return err
	}
	lookup := ownEnvironment(s.opts)
	if dsn, ok := lookup("DATABASE_URL"); ok && dsn != "" {
		s.told.Postgres = config.StackPostgres{OwnerURL: s.cfg.MigrateURL, ServingURL: dsn}
	} else if err := s.planPostgres(ctx, free.Postgres); err != nil {
		return err
	}
	if address, ok := lookup("TEMPORAL_ADDRESS"); s.opts.OnlyPostgres {
		// Nobody asks for Temporal, not even for somebody else's.
	} else if ok && address != "" {
		namespace, _ := lookup("TEMPORAL_NAMESPACE")
		s.told.Temporal = config.StackTemporal{Address: address, Namespace: orDefault(namespace)}
	} else if err := s.planTemporal(ctx, free); err != nil {
		return err
	}
	if s.opts.Worker != "" {
		s.planWorker(free)
	}
	return nil
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}

// start runs a part and waits until it serves.
func (s *Stack) start(ctx context.Context, p *part) error {
	began := time.Now()
	if err := p.start(ctx, s.launch, s.record); err != nil {
		return err
	}
	s.say("%s is up at %s (%s)", p.name, p.address, time.Since(began).Round(100*time.Millisecond))
	s.watch(p)
	return nil
}

// watch reports the end of the process that runs now, unless it was stopped.
func (s *Stack) watch(p *part) {
	running := p.running()
	s.launch.owned.Go(func() {
		<-running.done
		if running.stopped() {
			return
		}
		_ = s.record() // for `status`; the death itself is what the owner acts on
		select {
		case s.deaths <- Death{Part: p.name, Reason: running.reason(), Log: p.log}:
		default: // nobody reads: `status` still tells
		}
	})
}

// Deaths tells of parts that ended on their own.
func (s *Stack) Deaths() <-chan Death { return s.deaths }

// Addresses tells where the parts are.
func (s *Stack) Addresses() config.Stack {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// Revive starts the parts that are dead, in order. What lives is left alone.
func (s *Stack) Revive(ctx context.Context) error {
	s.reviving.Lock()
	defer s.reviving.Unlock()
	err := s.startDead(ctx)
	s.mu.Lock()
	s.starts++
	s.failure = ""
	if err != nil {
		s.failure = err.Error()
	}
	s.mu.Unlock()
	return errors.Join(err, s.record())
}

func (s *Stack) startDead(ctx context.Context) error {
	for _, part := range s.parts {
		if running := part.running(); running != nil {
			if running.Alive() {
				continue
			}
			<-running.done // who killed it may know before its parent does
		}
		if err := s.start(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// Close stops the parts in reverse order and gives the state folder back. It takes its own time,
// at most a minute and a half, since what it ends must not be left half-ended.
func (s *Stack) Close() error {
	signal.Stop(s.asked)
	var problems []error
	for _, part := range slices.Backward(s.parts) {
		problems = append(problems, part.stop())
	}
	s.launch.close()
	if s.guard != nil {
		problems = append(problems, s.guard.Close())
	}
	problems = append(problems, forget(s.opts.State))
	if s.opts.Scratch {
		problems = append(problems, wipe(s.opts.State))
	}
	return errors.Join(append(problems, s.lock.release())...)
}

func (s *Stack) say(format string, args ...any) {
	fmt.Fprintf(s.opts.Out, format+"\n", args...)
}

// record writes the stack file. It is written while a part is starting too: whoever must clean up
// then knows the process.
func (s *Stack) record() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Stack: s.told, Starts: s.starts, Failure: s.failure, Supervisor: s.lock.holder}
	for _, part := range s.parts {
		state.Parts = append(state.Parts, part.state())
	}
	return state.write(s.opts.State)
}
