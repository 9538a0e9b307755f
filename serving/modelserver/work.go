package modelserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	errOverdue = errors.New("the engine did not answer in time")
	errStopped = errors.New("the server has stopped")
)

// work runs calls of the engine, which can neither be interrupted nor trusted not to panic.
type work struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// run waits for call until ctx ends (errOverdue). An overdue call goes on by itself; last is called when
// it ends at last, however it ends. A panic becomes an error.
func (w *work) run(ctx context.Context, call func() error, last func()) error {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		last()
		return errStopped
	}
	w.running.Add(1)
	w.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer w.running.Done()
		defer last()
		done <- caught(call)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errOverdue
	}
}

// caught turns a panic of the engine into an error.
func caught(call func() error) (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case error:
			err = cause
		default:
			err = fmt.Errorf("%v", cause)
		}
	}()
	return call()
}

// stop refuses new calls and waits for the running ones until ctx ends.
func (w *work) stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("model server: inferences still run: %w", context.Cause(ctx))
	}
}
