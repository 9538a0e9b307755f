package stack

import (
	"errors"
	"os"
	"syscall"
)

// Identity names a process so that a number that was given out again is not taken for it.
type Identity struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // as the system counts: compare, do not read
}

// Identify names the process that has this number now.
func Identify(pid int) Identity { return Identity{PID: pid, Started: startTime(pid)} }

// Alive says whether this very process runs.
func (i Identity) Alive() bool {
	return i.PID > 0 && i.Started != "" && startTime(i.PID) == i.Started
}

// Signal sends a signal to this very process; a process that is gone is no error.
func (i Identity) Signal(signal syscall.Signal) error {
	if !i.Alive() {
		return nil
	}
	process, err := os.FindProcess(i.PID)
	if err != nil {
		return err
	}
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
