package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startTimeout  = 60 * time.Second
	probeInterval = 50 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// part is one program of the stack: how to start it, how to know that it serves, how to stop it.
type part struct {
	name    string
	address string // where it serves, for people
	log     string // file of its output
	command func() *exec.Cmd
	probe   func(ctx context.Context) error // nil error: it serves
	prepare func(ctx context.Context) error // runs before each start; may be nil
	finish  func(ctx context.Context) error // runs after each start, when it serves; may be nil
	sweep   func(ctx context.Context) error // runs when it was stopped, and ends what was started in its place; may be nil
	stopBy  syscall.Signal                  // asks it to end
	dieBy   syscall.Signal                  // sent by the kernel when the supervisor dies
	grace   time.Duration                   // between stopBy and SIGKILL
	retries int                             // starts again that many times when it ends before it serves

	mu   sync.Mutex
	proc *process
}

// process is one run of a part. Its fields but wanted are written before done is closed.
type process struct {
	Identity
	cmd    *exec.Cmd
	done   chan struct{}
	err    error
	wanted atomic.Bool // somebody asked it to end
}

func (p *process) stopped() bool { return p.wanted.Load() }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) reason() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

func (p *part) running() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

// start runs the program until it serves. A run that ends before is tried again where the part says so.
func (p *part) start(ctx context.Context, launch *launcher, record func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if p.prepare != nil {
		if err := p.prepare(ctx); err != nil {
			return err
		}
	}
	for attempt := 0; ; attempt++ {
		err := p.startOnce(ctx, launch, record)
		if _, early := errors.AsType[*endedEarly](err); !early || attempt >= p.retries {
			return err
		}
		if err := pause(ctx, 4*probeInterval); err != nil {
			return err
		}
	}
}

func (p *part) startOnce(ctx context.Context, launch *launcher, record func() error) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = log, log
	running, err := launch.start(cmd, p.dieBy)
	if err != nil {
		return fmt.Errorf("start %s (%s): %w", p.name, cmd.Path, err)
	}
	p.mu.Lock()
	p.proc = running
	p.mu.Unlock()
	if err := record(); err != nil {
		return err
	}
	if err := p.untilItServes(ctx, running); err != nil {
		return err
	}
	if p.finish != nil {
		return p.finish(ctx)
	}
	return nil
}

// endedEarly tells that a part ended before it served.
type endedEarly struct{ part, reason, log, words string }

func (e *endedEarly) Error() string {
	return fmt.Sprintf("%s ended before it served (%s); its log %s ends with:\n%s", e.part, e.reason, e.log, e.words)
}

func (p *part) untilItServes(ctx context.Context, running *process) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		last := p.probe(attempt)
		cancel()
		if last == nil && !running.ended() {
			return nil
		}
		select {
		case <-running.done:
			return &endedEarly{p.name, running.reason(), p.log, lastLines(p.log, 8)}
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve at %s (%w): %w; its log %s ends with:\n%s",
				p.name, p.address, context.Cause(ctx), last, p.log, lastLines(p.log, 8))
		case <-time.After(probeInterval):
		}
	}
}

// stop asks the program to end, and makes it when its grace is over.
func (p *part) stop() error {
	err := p.stopOwn()
	if p.sweep == nil || p.running() == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return errors.Join(err, p.sweep(ctx))
}

func (p *part) stopOwn() error {
	running := p.running()
	if running == nil || running.ended() {
		return nil
	}
	running.wanted.Store(true)
	if err := running.cmd.Process.Signal(p.stopBy); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-running.done:
		return nil
	case <-time.After(p.grace):
	}
	_ = running.cmd.Process.Kill()
	<-running.done
	return fmt.Errorf("%s did not end within %s and was killed; its log is %s", p.name, p.grace, p.log)
}

func (p *part) state() PartState {
	state := PartState{Name: p.name, Address: p.address, Log: p.log}
	if running := p.running(); running != nil {
		state.Identity, state.Alive = running.Identity, !running.ended()
		if running.ended() {
			state.Reason = running.reason()
		}
	}
	return state
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// lastLines reads the end of a log, for an error that explains itself.
func lastLines(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if end, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, end-8192), io.SeekStart)
	}
	text, _ := io.ReadAll(file)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
