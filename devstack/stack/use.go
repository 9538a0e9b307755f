package stack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Session is the use of a stack: one that runs already, or one of this process's own.
type Session struct {
	own   *Stack
	other *Running
}

// Use takes the stack that runs on the state folder, reviving what is dead of it, or starts one.
func Use(ctx context.Context, opts Options) (*Session, error) {
	own, err := Up(ctx, opts)
	if err == nil {
		return &Session{own: own}, nil
	}
	if _, taken := errors.AsType[*AlreadyRunning](err); !taken {
		return nil, err
	}
	other, err := Find(opts.State)
	if err != nil {
		return nil, err
	}
	return &Session{other: other}, other.Revive(ctx)
}

// Own is the stack that this session started, nil when it uses another's.
func (s *Session) Own() *Stack { return s.own }

// State tells where the parts are and how they fare.
func (s *Session) State() (State, error) {
	if s.own != nil {
		return ReadState(s.own.opts.State)
	}
	return s.other.State()
}

// Revive starts the parts that are dead, in order.
func (s *Session) Revive(ctx context.Context) error {
	if s.own != nil {
		return s.own.Revive(ctx)
	}
	return s.other.Revive(ctx)
}

// Kill ends a part with SIGKILL, as a crash would, and waits until it is gone.
func (s *Session) Kill(name string) error {
	state, err := s.State()
	if err != nil {
		return err
	}
	part, found := state.Part(name)
	if !found {
		return fmt.Errorf("the stack has no part %q", name)
	}
	return end(part.Identity, syscall.SIGKILL, 10*time.Second)
}

// Close stops a stack of its own and leaves another's alone.
func (s *Session) Close() error {
	if s.own == nil {
		return nil
	}
	return s.own.Close()
}

// Supervise reports deaths, and revives at SIGUSR1 (which is how `up` asks), until the context ends.
func (s *Stack) Supervise(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case death := <-s.deaths:
			s.say("%s; `make up` starts it again", death)
		case <-s.asked:
			if err := s.Revive(ctx); err != nil {
				s.say("%v", err)
			}
		}
	}
}

// Exec runs a command to its end in a process group of its own. When the context ends, the group is
// interrupted, and killed 15 s later. Whatever the command leaves in its group is killed.
func (s *Stack) Exec(ctx context.Context, cmd *exec.Cmd) error {
	running, err := s.launch.start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	group := -running.PID
	defer syscall.Kill(group, syscall.SIGKILL) //nolint:errcheck // nothing is left, most of the time
	select {
	case <-running.done:
		return running.err
	case <-ctx.Done():
	}
	_ = syscall.Kill(group, syscall.SIGINT)
	select {
	case <-running.done:
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-running.done
	}
	return errors.Join(context.Cause(ctx), running.err)
}
