package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"phantom/access"
	"phantom/domain"
)

// bootstrap is what `key bootstrap` was asked for.
type bootstrap struct{ tenant, name, output string }

func keyCommand() *cobra.Command {
	var asked bootstrap
	first := &cobra.Command{
		Use: "bootstrap", Short: "Make a tenant's first API key, an admin's",
		Long: "Makes the first API key of a tenant, with access to the database (DATABASE_URL), and prints it: now and never again.\n" +
			"Refused while the tenant has an admin key in force. Other keys: `phantom key create`.",
		Args: func(cmd *cobra.Command, args []string) error { // before anything is run: wrong usage has a status of its own
			return errors.Join(asked.check(), cobra.NoArgs(cmd, args))
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return asked.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	first.Flags().StringVar(&asked.tenant, "tenant", "", "whose (default PHANTOM_TENANT, else default)")
	first.Flags().StringVar(&asked.name, "name", "admin", "who the events name that are caused with it")
	first.Flags().StringVarP(&asked.output, "output", "o", "table", "table: the key alone, or json")
	command := &cobra.Command{Use: "key", Short: "Make a tenant's first API key"}
	command.AddCommand(first)
	return command
}

func (b bootstrap) check() error {
	if b.output != "table" && b.output != "json" {
		return fmt.Errorf("--output is %q: accepted is table, json", b.output)
	}
	if b.tenant != "" && !domain.Tenant(b.tenant).Valid() {
		return fmt.Errorf("--tenant is %q: accepted is 1 to 63 of a-z, 0-9 and -, not starting with -", b.tenant)
	}
	return nil
}

func (b bootstrap) run(ctx context.Context, out, errs io.Writer) error {
	cfg, pool, err := asServing(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	tenant := domain.Tenant(cmp.Or(b.tenant, cfg.CLI.Tenant))
	key, token, err := access.NewKeys(pool).Bootstrap(ctx, tenant, access.Params{Name: b.name, By: "bootstrap by " + whoAmI()})
	if err != nil {
		return fmt.Errorf("tenant %s: %w", tenant, err)
	}
	if b.output == "json" {
		return json.NewEncoder(out).Encode(struct {
			access.Key

			APIKey string `json:"api_key"`
		}{key, token})
	}
	fmt.Fprintf(errs, "the admin key %s of tenant %s; it is told now and never again:\n", key.KeyID, tenant)
	fmt.Fprintln(out, token)
	return nil
}
