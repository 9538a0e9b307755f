//go:build !linux

package stack

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// guard starts `phantom-dev guard`, which sees this process end by the end of its standard input. It
// runs in a session of its own, so that what kills the supervisor's group leaves it.
func (l *launcher) guard(opts Options) (io.Closer, error) {
	cmd := exec.Command(opts.Self, "guard", opts.State) //nolint:noctx // it outlives every context
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make the guard's pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard %s: %w", opts.Self, err)
	}
	return guardProcess{alive, cmd}, nil
}

type guardProcess struct {
	alive io.Closer
	cmd   *exec.Cmd
}

// Close lets the guard see that all is over, and waits for it.
func (g guardProcess) Close() error {
	_ = g.alive.Close()
	return g.cmd.Wait()
}

// startTime asks ps, which tells it to the second.
func startTime(pid int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	state, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || strings.HasPrefix(state, "Z") {
		return ""
	}
	return strings.TrimSpace(started)
}
