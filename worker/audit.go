package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"phantom/artifact"
	"phantom/eventstore"
)

// audit is what `audit verify` was asked for.
type audit struct{ tenant, log, output string }

func auditCommand() *cobra.Command {
	var asked audit
	verify := &cobra.Command{
		Use: "verify", Short: "Tell whether history has been changed, and where first", Long: "Reads the logs of every tenant and holds them to their digests, their links and the anchors in PHANTOM_ARTIFACTS_URL.\n" +
			"Exit status: 0 all well, 1 history is broken or could not be read, 2 wrong usage.",
		Args: func(cmd *cobra.Command, args []string) error { // before anything is run: wrong usage has a status of its own
			_, err := asked.logs()
			return errors.Join(err, cobra.NoArgs(cmd, args))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return asked.verify(cmd.Context(), cmd.OutOrStdout()) },
	}
	verify.Flags().StringVar(&asked.tenant, "tenant", "", "whose logs (default all)")
	verify.Flags().StringVar(&asked.log, "log", "", "lifecycle or inference (default both)")
	verify.Flags().StringVarP(&asked.output, "output", "o", "table", "table, or json: one object a line and log")
	command := &cobra.Command{Use: "audit", Short: "Look whether history has been changed"}
	command.AddCommand(verify)
	return command
}

func (a audit) verify(ctx context.Context, out io.Writer) (err error) {
	logs, err := a.logs()
	if err != nil {
		return err
	}
	cfg, pool, err := asServing(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	anchors, err := artifact.Open(ctx, cfg.ArtifactsURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, anchors.Close()) }()
	auditor := eventstore.NewAuditor(eventstore.New(pool), anchors)
	broken := 0
	for _, log := range logs {
		found, err := a.verifyLog(ctx, auditor, log, out)
		if err != nil {
			return err
		}
		broken += found
	}
	if broken > 0 {
		return fmt.Errorf("%w: %d logs are broken; compare them with a backup", eventstore.ErrBroken, broken)
	}
	return nil
}

func (a audit) logs() ([]eventstore.Log, error) {
	switch {
	case a.output != "table" && a.output != "json":
		return nil, fmt.Errorf("--output is %q: accepted is table, json", a.output)
	case a.log == "":
		return []eventstore.Log{eventstore.Lifecycle, eventstore.Inference}, nil
	case a.log == string(eventstore.Lifecycle), a.log == string(eventstore.Inference):
		return []eventstore.Log{eventstore.Log(a.log)}, nil
	}
	return nil, fmt.Errorf("--log is %q: accepted is lifecycle, inference", a.log)
}

// verifyLog prints a line for each tenant's log as soon as it was read, and counts those that are broken.
func (a audit) verifyLog(ctx context.Context, auditor *eventstore.Auditor, log eventstore.Log, out io.Writer) (broken int, err error) {
	tenants := []string{a.tenant}
	if a.tenant == "" {
		if tenants, err = auditor.Tenants(ctx, log); err != nil {
			return 0, err
		}
	}
	for _, tenant := range tenants {
		report, err := auditor.Verify(ctx, tenant, log)
		if err != nil {
			return broken, err
		}
		if report.Broken != nil {
			broken++
		}
		if a.output == "json" {
			if err := json.NewEncoder(out).Encode(report); err != nil {
				return broken, err
			}
			continue
		}
		fmt.Fprintln(out, line(report))
	}
	return broken, nil
}

// line is what a person reads of one log.
func line(r eventstore.Report) string {
	state := "ok"
	if b := r.Broken; b != nil {
		state = fmt.Sprintf("BROKEN at %d (%s): %s", b.Position, b.Flaw, b.Detail)
		if b.Through > b.Position {
			state = fmt.Sprintf("BROKEN at %d to %d (%s): %s", b.Position, b.Through, b.Flaw, b.Detail)
		}
	}
	return fmt.Sprintf("%s %s: %d events, chained from %d, verified to %d, anchored to %d: %s",
		r.Log, r.Tenant, r.Events, r.FirstChained, r.LastVerified, r.LastAnchor, state)
}
