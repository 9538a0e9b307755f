package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"phantom/devstack/stack"
)

func (p *program) up() *cobra.Command {
	var detach, bare, background bool
	var worker string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the stack of this folder; with --detach in the background, or what died of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !bare {
				found, err := p.worker(worker)
				if err != nil {
					return err
				}
				worker = found
			}
			if detach {
				return p.detach(cmd.Context(), worker)
			}
			return p.foreground(cmd.Context(), worker, !background)
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "leave the stack running in the background")
	cmd.Flags().BoolVar(&background, "background", false, "leave the addresses to the command that detached this one")
	cmd.Flags().Lookup("background").Hidden = true
	cmd.Flags().BoolVar(&bare, "no-worker", false, "PostgreSQL and Temporal only, no migrations")
	cmd.Flags().StringVar(&worker, "worker", "", "the worker's program (default: phantom-worker beside this one)")
	cmd.MarkFlagsMutuallyExclusive("no-worker", "worker")
	return cmd
}

// foreground supervises the stack until it is told to end.
func (p *program) foreground(ctx context.Context, worker string, tell bool) error {
	s, err := stack.Up(ctx, p.mainStack(worker))
	if err != nil {
		return err
	}
	if tell {
		p.tell(s.Addresses())
	}
	s.Supervise(ctx)
	fmt.Fprintln(p.out, "stopping")
	return s.Close() //nolint:contextcheck // Close takes its own time, also when ctx has ended
}

// detach starts a supervisor in a session of its own and waits until its stack serves. Where one runs
// already, it starts what died.
func (p *program) detach(ctx context.Context, worker string) error {
	running, err := stack.Find(p.stateFolder())
	switch {
	case err == nil:
		err = p.revive(ctx, running)
	case errors.Is(err, stack.ErrNotRunning):
		err = p.spawn(ctx, worker)
	}
	if err != nil {
		return err
	}
	state, err := stack.ReadState(p.stateFolder())
	if err != nil {
		return err
	}
	p.tell(state.Stack)
	return nil
}

func (p *program) revive(ctx context.Context, running *stack.Running) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	fmt.Fprintln(p.out, "the stack runs already; starting what died of it")
	return running.Revive(ctx)
}

// spawn starts the supervisor and passes on what it says until its stack serves.
func (p *program) spawn(ctx context.Context, worker string) error {
	logs := filepath.Join(p.stateFolder(), "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil { // PostgreSQL's user passes through
		return err
	}
	said, err := os.Create(filepath.Join(logs, "stack.log"))
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := exec.Command(p.self, "up", "--background") //nolint:noctx // it outlives this command
	if worker == "" {
		cmd.Args = append(cmd.Args, "--no-worker")
	} else {
		cmd.Args = append(cmd.Args, "--worker", worker)
	}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.folder, p.environ, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return p.follow(ctx, cmd, said.Name(), ended)
}

func (p *program) follow(ctx context.Context, cmd *exec.Cmd, log string, ended <-chan error) error {
	reader, err := os.Open(log)
	if err != nil {
		return err
	}
	defer reader.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := stack.ReadState(p.stateFolder())
		if err == nil && state.Supervisor.PID == cmd.Process.Pid && state.Starts > 0 && state.Failure == "" {
			_, err := io.Copy(p.out, reader)
			return err
		}
		select {
		case err := <-ended:
			_, _ = io.Copy(p.errOut, reader)
			return fmt.Errorf("the stack did not start (%w); its log is %s", err, log)
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM)
			return errors.Join(context.Cause(ctx), <-ended)
		case <-tick.C:
			_, _ = io.Copy(p.out, reader)
		}
	}
}
