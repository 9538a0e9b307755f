package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"phantom/api/client"
	"phantom/devstack/mainjob"
	"phantom/devstack/stack"
)

func (p *program) run() *cobra.Command {
	var leave bool
	var worker string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Bring up the stack (or take the one that runs), do the main job, and stay up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := p.worker(worker)
			if err != nil {
				return err
			}
			return p.mainJob(cmd.Context(), found, leave)
		},
	}
	cmd.Flags().BoolVar(&leave, "exit", false, "stop everything when the job is done")
	cmd.Flags().StringVar(&worker, "worker", "", "the worker's program (default: phantom-worker beside this one)")
	return cmd
}

// mainJob carries the digits through their life. A stack that ran before is used and left running.
func (p *program) mainJob(ctx context.Context, worker string, leave bool) (err error) {
	session, err := stack.Use(ctx, p.mainStack(worker))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }() //nolint:contextcheck // Close takes its own time, also when ctx has ended
	state, err := session.State()
	if err != nil {
		return err
	}
	p.tell(state.Stack)
	_, err = mainjob.Run(ctx, mainjob.Params{
		API:     &client.Client{URL: state.Phantom.APIURL, Actor: "make-run"},
		Gateway: state.Phantom.GatewayURL, TemporalUI: state.Temporal.UIURL,
		Root: p.folder, State: p.stateFolder(), Out: p.out, Width: terminalWidth(p.out),
		Restart: func(ctx context.Context) error {
			if err := session.Kill("worker"); err != nil {
				return err
			}
			return session.Revive(ctx)
		},
	})
	if err != nil || leave || session.Own() == nil {
		return err
	}
	fmt.Fprintln(p.out, "everything stays up until Ctrl-C")
	session.Own().Supervise(ctx)
	fmt.Fprintln(p.out, "stopping")
	return nil
}

// terminalWidth is how many columns a terminal has; 0 for what is none.
func terminalWidth(out io.Writer) int {
	file, is := out.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}
