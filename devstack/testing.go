package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"phantom/devstack/stack"
	"phantom/internal/config"
)

// maxTestStacks is how many test runs of one folder can be under way at once.
const maxTestStacks = 8

func (p *program) test() *cobra.Command {
	return &cobra.Command{
		Use:   "test -- COMMAND…",
		Short: "Run a command beside a stack of its own, which PHANTOM_TEST_STACK names, and stop that",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return p.runTest(cmd.Context(), args) },
	}
}

func (p *program) runTest(ctx context.Context, args []string) error {
	s, state, err := p.testStack(ctx)
	if err != nil {
		return err
	}
	defer func() { //nolint:contextcheck // Close takes its own time, also when ctx has ended
		if err := s.Close(); err != nil { // the status is the command's
			fmt.Fprintln(p.errOut, "phantom-dev:", err)
		}
	}()
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // Exec ends it with its whole group
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.folder, p.out, p.errOut
	cmd.Env = append(stack.Scrub(p.environ), "PHANTOM_TEST_STACK="+filepath.Join(state, config.StackFile))
	return s.Exec(ctx, cmd)
}

// testStack starts a stack in the first test folder that no other run uses.
func (p *program) testStack(ctx context.Context) (*stack.Stack, string, error) {
	var last error
	for _, state := range p.testStates() {
		s, err := stack.Up(ctx, stack.Options{
			Folder: p.folder, State: state, Self: p.self, Environ: p.environ, Out: p.errOut, Scratch: true,
		})
		if _, taken := errors.AsType[*stack.AlreadyRunning](err); !taken {
			return s, state, err
		}
		last = err
	}
	return nil, "", fmt.Errorf("%d test runs are under way in this folder: %w", maxTestStacks, last)
}

func (p *program) testStates() []string {
	states := make([]string, maxTestStacks)
	for i := range states {
		states[i] = filepath.Join(p.stateFolder(), "test")
		if i > 0 {
			states[i] = fmt.Sprintf("%s-%d", states[i], i+1)
		}
	}
	return states
}
