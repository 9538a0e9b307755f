package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"phantom/training"
)

// patience is how long an observer waits for news.
const patience = time.Second

var errStopped = errors.New("stopped")

// job is one run of a task in this process; its goroutine is owned by the Trainer.
type job struct {
	folder folder
	task   *task
	log    *os.File

	stop, kill         chan struct{}
	stopOnce, killOnce sync.Once
	saves              chan chan error // requests for a checkpoint now
	done               chan struct{}   // closed when the job runs no more and its lock is free

	mu    sync.Mutex
	board board
	news  chan struct{} // closed and replaced when the board changes
}

// startJob locks the folder, takes up the last checkpoint, and starts to train.
func startJob(f folder, t *task) (*job, error) {
	lock, err := f.lock()
	if err != nil {
		return nil, err
	}
	j := &job{
		folder: f, task: t, stop: make(chan struct{}), kill: make(chan struct{}),
		saves: make(chan chan error), done: make(chan struct{}), news: make(chan struct{}),
	}
	s, err := j.restore()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go j.run(s, lock)
	return j, nil
}

// restore opens the log and finds the state to go on from.
func (j *job) restore() (*state, error) {
	s, damaged, err := j.folder.restore(j.task.spec)
	if err != nil {
		return nil, err
	}
	var logs []string
	if j.log, logs, err = j.folder.openLog(); err != nil {
		return nil, err
	}
	j.board = board{state: training.Running, epochs: j.task.params.Epochs, logs: logs}
	if damaged {
		j.say("the last checkpoint is damaged and left out")
	}
	if s == nil {
		j.say("training %s %v with seed %d on %d rows, %d held out, %d parameters",
			j.task.spec.Algorithm, j.task.sizes, j.task.spec.Seed, len(j.task.train.rows), len(j.task.heldOut.rows), parameters(j.task.sizes))
		return newState(j.task), nil
	}
	j.board.points, j.board.checkpoint = s.points, s.epoch
	j.say("resumed after epoch %d of %d, batch %d", s.epoch, j.task.params.Epochs, s.batch)
	return s, nil
}

func (j *job) run(s *state, lock *os.File) {
	err := j.train(newLearner(j.task, s))
	j.mu.Lock()
	switch {
	case err == nil:
		j.board.state = training.Succeeded
		j.say("done")
	case errors.Is(err, errStopped):
		j.board.state = training.Stopped
		j.say("stopped after epoch %d of %d", s.epoch, j.task.params.Epochs)
	default:
		j.board.state, j.board.failure = training.Failed, strings.ReplaceAll(err.Error(), "\n", "; ")
		j.say("failed: %s", j.board.failure)
	}
	_ = j.log.Close()
	_ = lock.Close()
	close(j.done) // before anybody can see the end, so that who saw it can submit again
	j.tell()
	j.mu.Unlock()
}

// train runs batches and obeys orders between them.
func (j *job) train(l *learner) error {
	for !l.done() {
		select {
		case <-j.kill:
			return errStopped
		default:
		}
		select {
		case <-j.kill:
			return errStopped
		case <-j.stop:
			if err := j.save(l.state); err != nil {
				return err
			}
			return errStopped
		case reply := <-j.saves:
			err := j.save(l.state)
			reply <- err
			if err != nil {
				return err
			}
		default:
		}
		if last := l.batch(); !last {
			continue
		}
		p, err := l.closeEpoch()
		if err != nil {
			return err
		}
		if err := j.save(l.state); err != nil {
			return err
		}
		j.publish(l.state, p)
	}
	return nil
}

func (j *job) save(s *state) error { return j.folder.save(s.encode(fingerprint(j.task.spec))) }

// publish shows a finished epoch, whose checkpoint is durable.
func (j *job) publish(s *state, p point) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.board.points, j.board.checkpoint = slices.Clip(s.points), s.epoch
	j.say("epoch %d/%d loss %.6f accuracy %.4f val_accuracy %.4f", p.epoch, j.board.epochs, p.loss, p.accuracy, p.validation)
	j.tell()
}

// say writes a line of the log. A log that cannot be written costs no training: the line is still shown.
func (j *job) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	_, _ = j.log.WriteString(line + "\n")
	j.board.logs = append(j.board.logs, line)
}

// tell wakes the observers; the caller holds mu.
func (j *job) tell() {
	close(j.news)
	j.news = make(chan struct{})
}

func (j *job) observe(ctx context.Context, since training.Cursor) training.Observation {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		j.mu.Lock()
		seen, news := j.board.since(since), j.news
		j.mu.Unlock()
		if seen.State != training.Running || len(seen.Points) > 0 || len(seen.Logs) > 0 {
			return seen
		}
		select {
		case <-news:
		case <-timer.C:
			return seen
		case <-ctx.Done():
			return seen
		}
	}
}

// order asks the job to end; wait tells when it has. Orders after the end change nothing.
func (j *job) order(o training.Order) {
	if o == training.Kill {
		j.killOnce.Do(func() { close(j.kill) })
		return
	}
	j.stopOnce.Do(func() { close(j.stop) })
}

func (j *job) wait(ctx context.Context) error {
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of a training job: %w", ctx.Err())
	}
}

// checkpoint asks for one now and waits until it is durable; a job that ended has its last one.
func (j *job) checkpoint(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case j.saves <- reply:
		return <-reply
	case <-j.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a checkpoint: %w", ctx.Err())
	}
}

// ending tells that a job was ordered to end, whether it has or not.
func (j *job) ending() bool {
	select {
	case <-j.kill:
		return true
	case <-j.stop:
		return true
	default:
		return false
	}
}

func (j *job) succeeded() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.board.state == training.Succeeded
}

func (j *job) alive() bool {
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// board is what observers may see of a job.
type board struct {
	state      training.State
	epochs     int
	points     []point
	logs       []string
	checkpoint int
	failure    string
}

func (b board) since(c training.Cursor) training.Observation {
	o := training.Observation{
		State: b.state, Epochs: b.epochs, Checkpoint: b.checkpoint, Failure: b.failure, Cursor: c,
	}
	if c.Point >= 0 && c.Point < len(b.points) {
		for _, p := range b.points[c.Point:] {
			o.Points = append(o.Points, p.public())
		}
		o.Cursor.Point = len(b.points)
	}
	if c.Log >= 0 && c.Log < len(b.logs) {
		o.Logs = append(o.Logs, b.logs[c.Log:]...)
		o.Cursor.Log = len(b.logs)
	}
	return o
}
