package stack

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// launcher starts every process of a stack from one operating-system thread that lives as long as the
// stack: the kernel sends a child its death signal when the thread ends that started it, not when the
// process does.
type launcher struct {
	requests chan func()
	ended    chan struct{}
	owned    sync.WaitGroup // goroutines that wait for processes
}

func newLauncher() *launcher {
	l := &launcher{requests: make(chan func()), ended: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		defer close(l.ended)
		for request := range l.requests {
			request()
		}
	}()
	return l
}

// start runs a command in a process group of its own, so that a terminal's Ctrl-C reaches the
// supervisor alone, which then stops the parts in order.
func (l *launcher) start(cmd *exec.Cmd, dieBy syscall.Signal) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, dieBy)
	failed := make(chan error)
	l.requests <- func() { failed <- cmd.Start() }
	if err := <-failed; err != nil {
		return nil, err
	}
	p := &process{Identity: Identify(cmd.Process.Pid), cmd: cmd, done: make(chan struct{})}
	l.owned.Go(func() {
		p.err = cmd.Wait()
		close(p.done)
	})
	return p, nil
}

// close ends the thread. Every process must have been stopped before.
func (l *launcher) close() {
	l.owned.Wait()
	close(l.requests)
	<-l.ended
}
