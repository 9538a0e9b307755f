// Command phantom-dev runs a private PostgreSQL, a Temporal development server and a Phantom worker
// for one folder: on a laptop, in tests, for a first look. See package stack for what it promises.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"phantom/devstack/stack"
	"phantom/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second Ctrl-C ends this process at once; its parts die with it.
	context.AfterFunc(ctx, stop)
	status := run(ctx, os.Args[1:], config.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program: it answers with the exit status, 0 done, 1 it went wrong, 2 wrong usage; a
// command that runs another has that one's.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	folder, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(errOut, "phantom-dev:", err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(errOut, "phantom-dev:", err)
		return 1
	}
	p := &program{folder: folder, self: self, environ: environ, out: out, errOut: errOut}
	root := p.root() //nolint:contextcheck // cobra hands the context to each command
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	return p.status(root.ExecuteContext(ctx))
}

// program is what every command knows.
type program struct {
	folder  string // the working directory
	self    string
	environ []string
	out     io.Writer
	errOut  io.Writer
}

// usage marks an error of whoever typed the command.
type usage struct{ error }

// commandEnded is the end of the command that was run for the user: it has said itself what is wrong, and its status is
// this program's. What any other program ends with, initdb's error say, is told like every error.
type commandEnded struct{ status int }

func (e commandEnded) Error() string {
	return fmt.Sprintf("the command ended with exit status %d", e.status)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "phantom-dev",
		Short:         "A private PostgreSQL, Temporal and Phantom worker for this folder",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	root.AddCommand(p.run(), p.up(), p.down(), p.show(), p.test(), p.clean(), p.guard())
	return root
}

func (p *program) status(err error) int {
	if err == nil {
		return 0
	}
	if command, ok := errors.AsType[commandEnded](err); ok {
		return command.status
	}
	fmt.Fprintln(p.errOut, "phantom-dev:", err)
	if _, wrong := errors.AsType[usage](err); wrong {
		return 2
	}
	return 1
}

// stateFolder is where the main stack keeps its state.
func (p *program) stateFolder() string { return filepath.Join(p.folder, config.StateFolder) }

// worker finds the worker's program: the one that was named, else the one beside this program.
func (p *program) worker(named string) (string, error) {
	path := named
	if path == "" {
		path = filepath.Join(filepath.Dir(p.self), "phantom-worker")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the worker's program is not there (`make build` makes it): %w", err)
	}
	return path, nil
}

// mainStack are the options of the stack of this folder.
func (p *program) mainStack(worker string) stack.Options {
	return stack.Options{
		Folder: p.folder, State: p.stateFolder(), Worker: worker, Self: p.self, Environ: p.environ, Out: p.out,
	}
}
