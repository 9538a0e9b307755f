package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

func (p *program) modelArchive() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "archive ID --reason WHY", Short: "Archive a model: it takes no work any more", Args: takes(1, 1, modelArgument),
		Long: `Archive a model that neither serves nor trains: it takes no work any more, and cannot come back. Its history,
versions and artifacts stay. ` + "`phantom undeploy`" + ` takes it off a target before.`,
		RunE: p.does(func(ctx context.Context, args []string) error {
			return p.showModel(ctx, client.Request{Method: http.MethodPost, Path: modelPath(args[0]) + "/archive", Body: spec{"reason": reason}})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	require(cmd, "reason")
	return cmd
}

func (p *program) modelDelete() *cobra.Command {
	var reason, retention string
	cmd := &cobra.Command{
		Use: "delete ID --reason WHY", Short: "Delete an archived model; its id is never used again", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{"reason": reason}
			if retention != "" {
				body["retention"] = retention
			}
			return p.showModel(ctx, client.Request{Method: http.MethodPost, Path: modelPath(args[0]) + "/delete", Body: body})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	cmd.Flags().StringVar(&retention, "retention", "", "what becomes of its data: retain keeps it (the default)")
	require(cmd, "reason")
	return cmd
}
