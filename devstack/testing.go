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
	opts := stack.Options{Folder: p.folder, Self: p.self, Environ: p.environ, Out: p.errOut, Scratch: true}
	cmd := &cobra.Command{
		Use:   "test [flags] -- COMMAND…",
		Short: "Run a command beside a stack of its own, which PHANTOM_TEST_STACK names, and stop that",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return p.runTest(cmd.Context(), opts, args) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.OnlyPostgres, "only-postgres", false, "start no Temporal")
	flags.BoolVar(&opts.Durable, "durable", false, "fsync and full_page_writes on, as in production")
	flags.BoolVar(&opts.Fetched, "fetched-postgres", false, "the PostgreSQL that is fetched where there is none, though there is one")
	return cmd
}

func (p *program) runTest(ctx context.Context, opts stack.Options, args []string) error {
	s, state, err := p.testStack(ctx, opts)
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
	err = s.Exec(ctx, cmd)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.Exited() {
		return commandEnded{ended.ExitCode()}
	}
	return err
}

// testStack starts a stack in the first test folder that no other run uses.
func (p *program) testStack(ctx context.Context, opts stack.Options) (*stack.Stack, string, error) {
	var last error
	for _, state := range p.testStates() {
		opts.State = state
		s, err := stack.Up(ctx, opts)
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
