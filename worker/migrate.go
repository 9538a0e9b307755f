package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"phantom/internal/config"
	"phantom/migrations"
)

func migrateCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Make, undo or show the schema, as its owner (PHANTOM_MIGRATE_URL)",
	}
	command.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Bring the schema up to this program's", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return migrate(cmd, migrations.Up)
			},
		},
		&cobra.Command{
			Use: "down", Short: "Drop everything of Phantom in the database, data included", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return migrate(cmd, migrations.Down)
			},
		},
		&cobra.Command{
			Use: "status", Short: "Show how far the schema is", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return migrate(cmd, migrations.Status) },
		},
	)
	return command
}

// errNoOwner tells what a migration lacks.
var errNoOwner = errors.New("PHANTOM_MIGRATE_URL is not set: give the DSN of the database's owner, " +
	"a login that may create roles and schemas (no superuser is needed)")

func migrate(cmd *cobra.Command, step func(context.Context, string) (migrations.Progress, error)) error {
	cfg, err := config.FromEnvironment()
	if err != nil {
		return err
	}
	if cfg.MigrateURL == "" {
		return errNoOwner
	}
	progress, err := step(cmd.Context(), cfg.MigrateURL)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "schema at step %d of %d\n", progress.Current, progress.Latest)
	for _, name := range progress.Pending {
		fmt.Fprintln(cmd.OutOrStdout(), "pending:", name)
	}
	return nil
}
