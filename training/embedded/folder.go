package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"phantom/training"
)

// folder keeps one job: what it is (job.json), its last two checkpoints, its log, and a lock that is held
// while it runs. Files appear whole or not at all, but for the log, which may end torn.
type folder string

const (
	jobFile      = "job.json"
	newest       = "checkpoint"
	previous     = "checkpoint.previous"
	logFile      = "log.txt"
	lockFile     = "lock"
	notWhollySet = ".new" // suffix of a file that is being written
)

// ticket is the content of job.json; its spec is normal.
type ticket struct {
	Key  string        `json:"key"`
	Spec training.Spec `json:"spec"`
}

// claim makes the folder the one of a key and a spec, or finds that it is already.
func (f folder) claim(key string, spec training.Spec) error {
	spec, _, err := normal(spec)
	if err != nil {
		return err
	}
	body, err := json.Marshal(ticket{key, spec})
	if err != nil {
		return fmt.Errorf("encode job %s: %w", key, err)
	}
	if err := os.MkdirAll(string(f), 0o750); err != nil {
		return fmt.Errorf("folder of job %s: %w", key, err)
	}
	found, err := os.ReadFile(f.path(jobFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.write(jobFile, body)
	case err != nil:
		return fmt.Errorf("look for job %s: %w", key, err)
	case !bytes.Equal(found, body):
		return invalid("key", "the key names a job with another spec")
	}
	return nil
}

// ticket reads what the folder's job is; fs.ErrNotExist when there is none.
func (f folder) ticket() (ticket, error) {
	var t ticket
	body, err := os.ReadFile(f.path(jobFile))
	if err != nil {
		return t, fmt.Errorf("look for a job: %w", err)
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return t, fmt.Errorf("read %s: %w", f.path(jobFile), err)
	}
	return t, nil
}

// save makes a checkpoint durable and keeps the one before. A crash at any point leaves one of the two.
func (f folder) save(checkpoint []byte) error {
	if err := f.draft(newest, checkpoint); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	if err := os.Rename(f.path(newest), f.path(previous)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the last checkpoint: %w", err)
	}
	return f.publish(newest)
}

// restore returns the state of the newest checkpoint that is whole, or nil when there is none; damaged
// tells that a newer one was not.
func (f folder) restore(spec training.Spec) (s *state, damaged bool, err error) {
	for _, name := range []string{newest, previous} {
		body, err := os.ReadFile(f.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, damaged, fmt.Errorf("read a checkpoint: %w", err)
		}
		s, err = decodeState(body, fingerprint(spec))
		if err == nil {
			return s, damaged, nil
		}
		damaged = true
	}
	return nil, damaged, nil
}

// logs returns the lines written so far.
func (f folder) logs() ([]string, error) {
	body, err := os.ReadFile(f.path(logFile))
	if errors.Is(err, fs.ErrNotExist) || len(body) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), nil
}

// openLog opens the log for more lines, and returns those that it has.
func (f folder) openLog() (*os.File, []string, error) {
	lines, err := f.logs()
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(f.path(logFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	end := make([]byte, 1)
	if known, err := file.Stat(); err == nil && known.Size() > 0 {
		if _, err := file.ReadAt(end, known.Size()-1); err == nil && end[0] != '\n' {
			_, _ = file.WriteString("\n") // ends the line that a killed process left torn
		}
	}
	return file, lines, nil
}

// observe tells of a job that this process does not run: Succeeded when its last checkpoint says so.
func (f folder) observe(since training.Cursor) (training.Observation, error) {
	unknown := training.Observation{State: training.Unknown, Cursor: since}
	_, s, err := f.load()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDone) {
		return unknown, nil
	}
	if err != nil {
		return unknown, err
	}
	logs, err := f.logs()
	if err != nil {
		return unknown, err
	}
	done := board{state: training.Succeeded, epochs: s.epoch, points: s.points, logs: logs, checkpoint: s.epoch}
	return done.since(since), nil
}

// load returns a job that has finished its last epoch; fs.ErrNotExist when there is no job, ErrNotDone when
// it has epochs to go.
func (f folder) load() (ticket, *state, error) {
	t, err := f.ticket()
	if err != nil {
		return ticket{}, nil, err
	}
	p, err := parseParams(t.Spec)
	if err != nil {
		return ticket{}, nil, err
	}
	s, _, err := f.restore(t.Spec)
	if err != nil {
		return ticket{}, nil, err
	}
	if s == nil || s.epoch < p.Epochs {
		return ticket{}, nil, ErrNotDone
	}
	return t, s, nil
}

// lock takes the right to run the job; ErrRunning when somebody has it. Closing the file gives it back, and
// so does the end of the process, however it ends.
func (f folder) lock() (*os.File, error) {
	file, err := os.OpenFile(f.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closed := file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrRunning
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f, err), closed)
	}
	return file, nil
}

// unlocked is nil when nobody runs the job, or there is none.
func (f folder) unlocked() error {
	file, err := f.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func (f folder) remove() error {
	file, err := f.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(string(f)), file.Close())
}

func (f folder) write(name string, body []byte) error {
	if err := f.draft(name, body); err != nil {
		return fmt.Errorf("write %s: %w", f.path(name), err)
	}
	return f.publish(name)
}

// draft writes and syncs a file that publish will give its name.
func (f folder) draft(name string, body []byte) error {
	file, err := os.OpenFile(f.path(name+notWhollySet), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(body); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f folder) publish(name string) error {
	if err := os.Rename(f.path(name+notWhollySet), f.path(name)); err != nil {
		return fmt.Errorf("publish %s: %w", f.path(name), err)
	}
	file, err := os.Open(string(f))
	if err == nil {
		err = errors.Join(file.Sync(), file.Close())
	}
	if err != nil {
		return fmt.Errorf("make %s durable: %w", f.path(name), err)
	}
	return nil
}

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// fingerprint identifies a normal spec in its checkpoints.
func fingerprint(spec training.Spec) [sha256.Size]byte {
	body, err := json.Marshal(spec)
	if err != nil { // its params are the only part that could fail, and normal has encoded them
		panic("a normal spec does not encode: " + err.Error())
	}
	return sha256.Sum256(body)
}
