package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// AlreadyRunning tells that another process supervises the stack of this state folder.
type AlreadyRunning struct {
	State      string
	Supervisor Identity // zero when it has not said yet
}

func (e *AlreadyRunning) Error() string {
	return fmt.Sprintf("a stack runs already in %s (process %d): `bin/phantom-dev status` shows it, `make down` stops it",
		e.State, e.Supervisor.PID)
}

// lock is held by the supervisor as long as it lives; the kernel takes it back from a dead one.
type lock struct {
	file   *os.File
	holder Identity
}

func takeLock(state string) (*lock, error) {
	path := filepath.Join(state, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the stack: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for tries := 0; errors.Is(err, syscall.EWOULDBLOCK) && tries < 10; tries++ {
		time.Sleep(probeInterval / 5) // whoever only looks has it for a moment
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		running := &AlreadyRunning{State: state}
		_ = json.NewDecoder(file).Decode(&running.Supervisor) // it may not have written it yet
		return nil, running
	}
	held := &lock{file: file, holder: Identify(os.Getpid())}
	text, err := json.Marshal(held.holder)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, text)); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), file.Close())
	}
	return held, nil
}

// lookAtLock says whether a supervisor holds the lock, and which; several may look at once.
func lookAtLock(state string) (supervisor Identity, held bool, err error) {
	path := filepath.Join(state, "lock")
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return Identity{}, false, fmt.Errorf("open the lock of the stack: %w", err)
	}
	defer file.Close() // gives the lock back too
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return Identity{}, false, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return Identity{}, false, fmt.Errorf("look at %s: %w", path, err)
	}
	_ = json.NewDecoder(file).Decode(&supervisor) // it may not have written it yet
	return supervisor, true, nil
}

func writeAt(file *os.File, text []byte) error {
	_, err := file.WriteAt(text, 0)
	return err
}

// release gives the lock back. The file stays: removing it would let two processes lock two files.
func (l *lock) release() error { return l.file.Close() }
