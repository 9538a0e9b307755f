// Package embedded trains classifiers inside the worker's process: multi-layer perceptrons and logistic
// regression, in plain Go.
//
// What it promises: the artifact of a job depends on its spec alone. A job that was killed, whenever and
// however often, ends with the same bits as one that ran undisturbed; so do two jobs with the same spec.
// The arithmetic is written so that the compiler may not fuse it (each product is rounded), the order of
// rows is computed from the seed and the epoch, and a job runs on one thread. What Observe has told is
// never taken back: a point is shown only when the checkpoint that holds it is durable.
//
// What it does not: it limits neither the number of jobs nor their size beyond training.MaxDatasetBytes,
// and it shares nothing over machines. The folder of a job is locked while the job runs, so two processes
// on one folder never run the same job at once; the kernel drops the lock of a killed process.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"phantom/artifact"
	"phantom/training"
)

// The refusals of this backend; both may pass with time, or with the process.
var (
	ErrClosed  = errors.New("the trainer is closed")
	ErrRunning = errors.New("the job runs in another process")
	ErrNotDone = errors.New("the job has not succeeded")
)

// Trainer runs jobs in goroutines of this process. It implements training.Trainer.
type Trainer struct {
	store *artifact.Store
	dir   string
	code  string // the digest of this program

	mu     sync.Mutex
	closed bool
	jobs   map[training.Handle]*job // jobs of this process, also those that ended
}

var _ training.Trainer = (*Trainer)(nil)

// New makes a trainer that keeps the state of its jobs in dir, which it makes when it is missing. Close
// ends it.
func New(store *artifact.Store, dir string) (*Trainer, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("folder of the training jobs: %w", err)
	}
	code, err := codeDigest()
	if err != nil {
		return nil, err
	}
	return &Trainer{store: store, dir: dir, code: code, jobs: map[training.Handle]*job{}}, nil
}

// Close checkpoints and stops all jobs, and returns when none runs or ctx ends. They go on at their next
// Submit, to whichever trainer on the same folder.
func (t *Trainer) Close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	var errs []error
	var running []*job
	for _, j := range t.jobs {
		running = append(running, j)
	}
	t.mu.Unlock()
	for _, j := range running {
		j.order(training.Stop)
	}
	for _, j := range running {
		errs = append(errs, j.wait(ctx))
	}
	return errors.Join(errs...)
}

// Submit starts the job, or finds the one that the key names; one that ended without success, in this
// process or another, goes on from its last checkpoint. Data and params are checked before it returns.
func (t *Trainer) Submit(ctx context.Context, key string, spec training.Spec) (training.Handle, error) {
	if key == "" {
		return "", invalid("key", "a job needs a key")
	}
	handle := training.Handle(key)
	if running, err := t.runs(ctx, handle, spec); running || err != nil {
		return handle, err
	}
	task, err := prepare(ctx, t.store, spec)
	if err != nil {
		return "", err
	}
	folder := t.folder(handle)
	if err := folder.claim(key, spec); err != nil {
		return "", err
	}
	return handle, t.start(handle, folder, task)
}

// Observe implements training.Trainer. A job that ran in an earlier process is Succeeded when its last
// checkpoint says so, and Unknown until it is submitted again otherwise.
func (t *Trainer) Observe(
	ctx context.Context, h training.Handle, since training.Cursor,
) (training.Observation, error) {
	if j := t.find(h); j != nil {
		return j.observe(ctx, since), nil
	}
	return t.folder(h).observe(since)
}

// Signal implements training.Trainer. A job that nobody runs is stopped already.
func (t *Trainer) Signal(ctx context.Context, h training.Handle, o training.Order) error {
	switch o {
	case training.Checkpoint, training.Stop, training.Kill:
	default:
		return invalid("order", "expected checkpoint, stop or kill")
	}
	j := t.find(h)
	if j == nil {
		return t.folder(h).unlocked()
	}
	if o == training.Checkpoint {
		return j.checkpoint(ctx)
	}
	j.order(o)
	return j.wait(ctx)
}

// Forget kills the job and deletes its folder.
func (t *Trainer) Forget(ctx context.Context, h training.Handle) error {
	if err := t.Signal(ctx, h, training.Kill); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if j := t.jobs[h]; j != nil && j.alive() {
		return fmt.Errorf("forget %s: it was submitted again meanwhile", h)
	}
	delete(t.jobs, h)
	return t.folder(h).remove()
}

// start makes a job the one of its handle, unless another call was faster.
func (t *Trainer) start(h training.Handle, folder folder, task *task) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	if j := t.jobs[h]; j != nil && j.alive() {
		return nil
	}
	j, err := startJob(folder, task)
	if err != nil {
		return fmt.Errorf("start %s: %w", h, err)
	}
	t.jobs[h] = j
	return nil
}

// runs tells whether a job of this process trains as the spec says; one that was ordered to end is waited
// for first, and does not.
func (t *Trainer) runs(ctx context.Context, h training.Handle, spec training.Spec) (bool, error) {
	t.mu.Lock()
	j, closed := t.jobs[h], t.closed
	t.mu.Unlock()
	if closed {
		return false, ErrClosed
	}
	if j == nil {
		return false, nil
	}
	if err := j.folder.claim(string(h), spec); err != nil {
		return false, err
	}
	if j.ending() {
		return false, j.wait(ctx)
	}
	return j.alive() || j.succeeded(), nil
}

func (t *Trainer) find(h training.Handle) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[h]
}

func (t *Trainer) folder(h training.Handle) folder {
	return folder(filepath.Join(t.dir, hexOf([]byte(h))[:32]))
}
