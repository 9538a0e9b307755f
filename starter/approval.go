package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) approvalsCommand() *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "approvals", Short: "List what waits for approval", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			query := pages.query()
			query.Set("waiting_for", "approval")
			return listing[saga]{
				path: "/api/v1/sagas", query: query, more: "cursor",
				header: []string{"WORKFLOW", "MODEL", "STARTED", "SUMMARY", "ANSWER WITH"},
				row: func(s saga) []string {
					return []string{
						s.SagaID, s.ModelID, p.ago(s.StartedAt), short(s.Summary),
						"phantom " + nounOf(s.SagaID) + " approve|reject " + s.SagaID,
					}
				},
				none: "nothing waits for approval",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	return cmd
}
