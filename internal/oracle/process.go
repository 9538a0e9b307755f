package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// process is one appending process, through its lives.
type process struct {
	program string // this test binary
	folder  string // of the ledgers
	log     io.Writer
	params  appenderParams
	proxy   *proxy

	mu      sync.Mutex // one fault of the process at a time
	cmd     *exec.Cmd
	input   io.Closer // its end ends the process in order
	ledgers []string
}

// start begins a new life, which knows the ledgers of the former ones.
func (p *process) start() error {
	p.params.Life = len(p.ledgers)
	p.params.Successor = p.ledgers[max(0, len(p.ledgers)-1):]
	p.params.Ledger = filepath.Join(p.folder, fmt.Sprintf("ledger-%d-%d", p.params.Process, p.params.Life))
	argument, err := json.Marshal(p.params)
	if err != nil {
		return fmt.Errorf("encode the appender's parameters: %w", err)
	}
	cmd := exec.Command(p.program, AppendCommand, string(argument)) //nolint:noctx // it ends with its input
	input, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make the appender's pipe: %w", err)
	}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start appending process %d: %w", p.params.Process, err)
	}
	p.cmd, p.input, p.ledgers = cmd, input, append(p.ledgers, p.params.Ledger)
	return nil
}

// killAndStart ends the process with SIGKILL, wherever it is, and begins its next life.
func (p *process) killAndStart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill appending process %d: it has ended before: %w", p.params.Process, err)
	}
	_ = p.cmd.Wait() // it was killed
	_ = p.input.Close()
	return p.start()
}

// freeze stops the process until release is called.
func (p *process) freeze() (release func(), err error) {
	p.mu.Lock()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.mu.Unlock()
		return nil, fmt.Errorf("stop appending process %d: %w", p.params.Process, err)
	}
	return func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.mu.Unlock()
	}, nil
}

// finish lets the process learn its last outcomes and waits for its end.
func (p *process) finish() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	_ = p.input.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("appending process %d: %w", p.params.Process, err)
	}
	p.cmd = nil
	return nil
}

// abandon kills the process when a run is given up.
func (p *process) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_ = p.input.Close()
		p.cmd = nil
	}
}

// AppendCommand is the first argument of a program that is to be an appending process; Append takes the second one.
const AppendCommand = "oracle-append"

// self is this program.
func self() (string, error) {
	program, err := os.Executable()
	return program, errors.Join(err)
}
