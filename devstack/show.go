package main

import (
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"phantom/devstack/stack"
	"phantom/internal/config"
)

func (p *program) show() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the parts of the stack of this folder; exit status 1 when one is dead",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			running, err := stack.Find(p.stateFolder())
			if err != nil {
				return err
			}
			state, err := running.State()
			if errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(p.out, "the stack is starting")
				return nil
			}
			if err != nil {
				return err
			}
			return p.table(state)
		},
	}
}

func (p *program) table(state stack.State) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PART\tSTATE\tPROCESS\tADDRESS\tLOG")
	dead := 0
	for _, part := range state.Parts {
		how := "running"
		if !part.Identity.Alive() {
			how = "dead"
			if part.Reason != "" {
				how += " (" + part.Reason + ")"
			}
			dead++
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", part.Name, how, part.PID, part.Address, part.Log)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if dead > 0 {
		return fmt.Errorf("%d of %d parts are dead: `make up` starts them again", dead, len(state.Parts))
	}
	return nil
}

// tell prints where a person finds things.
func (p *program) tell(at config.Stack) {
	for _, line := range []struct{ what, where string }{
		{"Temporal UI", at.Temporal.UIURL},
		{"Temporal", at.Temporal.Address},
		{"API", at.Phantom.APIURL},
		{"Inference", at.Phantom.GatewayURL},
		{"Metrics", at.Phantom.MetricsURL},
	} {
		if line.where != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line.what, line.where)
		}
	}
}
