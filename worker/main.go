package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: exit status 0 when all went well, 1 when not, 2 for wrong usage.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	ran := false
	root := &cobra.Command{
		Use:           "phantom-worker",
		Short:         "Run Phantom's sagas, projections, API, gateway and model server",
		Long:          "Without a subcommand it serves, in the roles that PHANTOM_ROLES names (default: all).",
		Args:          cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { ran = true },
		RunE:             func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context()) },
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	root.AddCommand(migrateCommand(), auditCommand(), eraseCommand(), keyCommand(), versionCommand()) //nolint:contextcheck // cobra hands the context to each command
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(errs, "phantom-worker: %v\n", err)
		if !ran {
			return 2
		}
		return 1
	}
	return 0
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "phantom-worker", version) },
	}
}
