package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"phantom/domain"
	"phantom/internal/config"
	"phantom/migrations"
	"phantom/sealing"
)

// eraseFlags say who erases, whose, and why.
type eraseFlags struct{ tenant, reason, by, through string }

func eraseCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "erase",
		Short: "Destroy the keys of sealed content, as the schema's owner (PHANTOM_MIGRATE_URL)",
		Long: `Destroy the keys of sealed content, as the schema's owner (PHANTOM_MIGRATE_URL).

What was sealed with a destroyed key reads {"erased":true} from then on, for ever: there is no way back.
Events are not changed. It can be repeated, and tells then what was destroyed before. docs/secure.md says
what backups still hold.`,
	}
	command.AddCommand(eraseSubjectCommand(), eraseModelCommand())
	return command
}

func eraseSubjectCommand() *cobra.Command {
	var f eraseFlags
	command := &cobra.Command{
		Use: "subject REF --reason R", Args: f.one,
		Short: "Destroy the key of a person, named as in the header Phantom-Subject",
		Long: `Destroy the key of a person, named as in the header Phantom-Subject.

Inferences that name the same person later are answered and counted, and nothing of their content is kept.
A person who comes back needs another reference.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return erase(cmd.Context(), cmd.OutOrStdout(), f, sealing.Erasure{Kind: sealing.Subject, Name: args[0]})
		},
	}
	f.register(command)
	return command
}

func eraseModelCommand() *cobra.Command {
	var f eraseFlags
	command := &cobra.Command{
		Use: "model ID --reason R", Args: f.one,
		Short: "Destroy a model's keys of all days, or up to a day",
		Long: `Destroy a model's keys of all days, or up to a day (UTC, included).

They seal the inputs of inferences that name no person; those that do have keys of their own. Of the days
that are erased, today included, no more inputs are kept; from tomorrow on there are new keys.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			// A clock that is ahead may have begun tomorrow.
			through := cmp.Or(f.through, time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly))
			return erase(cmd.Context(), cmd.OutOrStdout(), f, sealing.Erasure{Kind: sealing.Model, Name: args[0], Through: through})
		},
	}
	f.register(command)
	command.Flags().StringVar(&f.through, "through", "", "the last day that is erased, as 2006-01-02 (default: all)")
	return command
}

func (f *eraseFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.tenant, "tenant", "", "whose they are (default PHANTOM_TENANT, else default)")
	flags.StringVar(&f.reason, "reason", "", "why; kept with the tombstone, so without anything personal")
	flags.StringVar(&f.by, "by", "", "who; kept with the tombstone (default: the login and machine)")
}

// one wants a name and the reason. It is looked at before anything runs, so a lack of it is wrong usage.
func (f *eraseFlags) one(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	if f.reason == "" {
		return errors.New("--reason is required: it is kept with the tombstone")
	}
	return nil
}

func erase(ctx context.Context, out io.Writer, f eraseFlags, what sealing.Erasure) error {
	cfg, err := config.FromEnvironment()
	if err != nil {
		return err
	}
	if cfg.MigrateURL == "" {
		return errors.New("PHANTOM_MIGRATE_URL is not set: give the DSN of the schema's owner; the serving login may not destroy keys")
	}
	what.Tenant, what.Reason, what.By = domain.Tenant(cmp.Or(f.tenant, cfg.CLI.Tenant)), f.reason, cmp.Or(f.by, whoAmI())
	conn, err := pgx.Connect(ctx, cfg.MigrateURL)
	if err != nil {
		return fmt.Errorf("connect as the owner (PHANTOM_MIGRATE_URL): %w", err)
	}
	defer conn.Close(ctx)
	if err := migrations.Check(ctx, conn); err != nil {
		return err
	}
	tombstones, err := sealing.Erase(ctx, conn, what)
	tellErased(out, what, tombstones)
	return err
}

func tellErased(out io.Writer, what sealing.Erasure, tombstones []sealing.Destroyed) {
	destroyed := 0
	for _, key := range tombstones {
		name := fmt.Sprintf("key %s of %s %s", key.KeyID, what.Kind, what.Name)
		if key.Day != "" {
			name += ", " + key.Day
		}
		if key.Now {
			destroyed++
			fmt.Fprintf(out, "destroyed: %s, made %s\n", name, key.CreatedAt.UTC().Format(time.RFC3339))
		} else {
			fmt.Fprintf(out, "gone: %s, since %s, by %s: %s\n", name, key.ErasedAt.UTC().Format(time.RFC3339), key.By, key.Reason)
		}
	}
	switch {
	case destroyed > 0:
		fmt.Fprintf(out, "destroyed %d; every worker has forgotten them in %s. Backups of the schema keyring that are older "+
			"still hold them: see docs/secure.md\n", destroyed, sealing.Lifetime)
	case what.Kind == sealing.Subject:
		fmt.Fprintln(out, "no key was left to destroy; content of later inferences of this subject is not kept")
	default:
		fmt.Fprintln(out, "no key was left to destroy")
	}
}

// whoAmI is the login and the machine, as far as they are known.
func whoAmI() string {
	login := "unknown"
	if current, err := user.Current(); err == nil {
		login = current.Username
	}
	if host, err := os.Hostname(); err == nil {
		login += "@" + host
	}
	return login
}
