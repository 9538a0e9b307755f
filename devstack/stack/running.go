package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNotRunning tells that no supervisor holds the state folder.
var ErrNotRunning = errors.New("no stack runs here: `make up` starts one")

// Running is a stack that another process supervises.
type Running struct {
	folder     string
	supervisor Identity
}

// Find finds the stack of a state folder; ErrNotRunning when there is none.
func Find(folder string) (*Running, error) {
	if _, err := os.Stat(filepath.Join(folder, "lock")); err != nil {
		return nil, ErrNotRunning
	}
	supervisor, held, err := lookAtLock(folder)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, ErrNotRunning
	}
	return &Running{folder: folder, supervisor: supervisor}, nil
}

// State reads what the supervisor says.
func (r *Running) State() (State, error) { return ReadState(r.folder) }

// Revive asks the supervisor to start what died and waits until it has.
func (r *Running) Revive(ctx context.Context) error {
	before, err := r.Wait(ctx) // a supervisor that is still starting does not listen yet
	if err != nil {
		return err
	}
	if err := before.Supervisor.Signal(syscall.SIGUSR1); err != nil {
		return fmt.Errorf("ask process %d to start what died: %w", before.Supervisor.PID, err)
	}
	after, err := r.until(ctx, func(state State) bool { return state.Starts > before.Starts })
	if err != nil {
		return err
	}
	if after.Failure != "" {
		return errors.New(after.Failure)
	}
	return nil
}

// Wait waits until the start is through.
func (r *Running) Wait(ctx context.Context) (State, error) {
	return r.until(ctx, func(state State) bool { return state.Starts > 0 })
}

func (r *Running) until(ctx context.Context, enough func(State) bool) (State, error) {
	for {
		state, err := r.State()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return State{}, err
		}
		known := r.supervisor.PID == 0 || state.Supervisor == r.supervisor // else it is what a dead one said
		if err == nil && known && enough(state) {
			return state, nil
		}
		if r.supervisor.PID != 0 && !r.supervisor.Alive() {
			return State{}, fmt.Errorf("the stack ended while it was waited for: %s tells why", filepath.Join(r.folder, "logs"))
		}
		if err := pause(ctx, 2*probeInterval); err != nil {
			return State{}, fmt.Errorf("wait for the stack in %s: %w", r.folder, err)
		}
	}
}

// Down stops the stack of a state folder, and what a dead supervisor left behind; stopped is false when
// no supervisor was there.
func Down(folder string) (stopped bool, err error) {
	running, err := Find(folder)
	if errors.Is(err, ErrNotRunning) {
		return false, reap(folder)
	}
	if err != nil {
		return false, err
	}
	const patience = 120 * time.Second // more than all parts' grace together
	if err := end(running.supervisor, syscall.SIGTERM, patience); err != nil {
		return true, errors.Join(err, end(running.supervisor, syscall.SIGKILL, 10*time.Second), reap(folder))
	}
	return true, nil
}

// Guard waits until alive ends, which is when the supervisor does, and kills what it left behind.
// A supervisor that ended in order left nothing.
func Guard(folder string, alive io.Reader) error {
	_, _ = io.Copy(io.Discard, alive) // however it ends, the supervisor is gone
	held, err := takeLock(folder)
	if err != nil {
		return nil //nolint:nilerr // the next supervisor has it, and has reaped
	}
	return errors.Join(reap(folder), held.release())
}
