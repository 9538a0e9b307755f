package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"phantom/devstack/stack"
)

func (p *program) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the stack of this folder",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			stopped, err := stack.Down(p.stateFolder())
			if err == nil && !stopped {
				fmt.Fprintln(p.out, "nothing runs here")
			}
			return err
		},
	}
}

func (p *program) clean() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove the state of this folder's stacks, and the tools in the user's cache folder",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			states := append([]string{p.stateFolder()}, p.testStates()...)
			for _, state := range states {
				if _, err := stack.Find(state); !errors.Is(err, stack.ErrNotRunning) {
					return errors.Join(fmt.Errorf("a stack runs in %s: stop it first", state), err)
				}
			}
			var problems []error
			for _, state := range states {
				problems = append(problems, stack.RemovePlace(filepath.Join(state, "postgres")))
			}
			cache, err := stack.CacheFolder()
			if err != nil {
				return err
			}
			problems = append(problems, stack.RemovePrograms(cache), os.RemoveAll(cache), os.RemoveAll(p.stateFolder()))
			return errors.Join(problems...)
		},
	}
}

func (p *program) guard() *cobra.Command {
	return &cobra.Command{
		Use:    "guard STATE",
		Short:  "Kill the parts of a stack when its supervisor, at the other end of standard input, has gone",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE:   func(_ *cobra.Command, args []string) error { return stack.Guard(args[0], os.Stdin) },
	}
}
