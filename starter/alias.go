package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// modelAlias is what is shown of an alias.
type modelAlias struct {
	Alias           string     `json:"alias"`
	Version         string     `json:"version"`
	PreviousVersion *string    `json:"previous_version"`
	Reason          string     `json:"reason"`
	AssignedAt      *time.Time `json:"assigned_at"`
	AssignedBy      actor      `json:"assigned_by"`
}

func (p *program) aliasCommand() *cobra.Command {
	group := p.group("alias", "Name versions: champion, challenger, or your own words",
		p.aliasSet(), p.aliasGet(), p.aliasList(), p.aliasDelete())
	group.Long = `Name versions: champion, challenger, or your own words. Wherever a version is asked for, @NAME stands for the
version that the alias names then. Aliases are yours: no promotion moves one, and moving one deploys nothing.`
	return group
}

// aliasPath takes NAME and @NAME.
func aliasPath(model, name string) string {
	return modelPath(model) + "/aliases/" + url.PathEscape(strings.TrimPrefix(name, "@"))
}

func (p *program) aliasSet() *cobra.Command {
	var expected, reason string
	var free bool
	cmd := &cobra.Command{
		Use: "set MODEL NAME VERSION", Short: "Let an alias name a version: a number, latest, or what @OTHER names",
		Args: takes(3, 3, "a model's id, an alias and a version"),
		Example: `  phantom alias set digits champion 3
  phantom alias set digits champion @challenger --expected 2 --reason "won the canary"`,
	}
	flags := cmd.Flags()
	flags.StringVar(&expected, "expected", "", "only if it names this version now")
	flags.BoolVar(&free, "new", false, "only if it names nothing now")
	flags.StringVar(&reason, "reason", "", "why, for the audit trail")
	cmd.MarkFlagsMutuallyExclusive("expected", "new")
	cmd.RunE = p.does(func(ctx context.Context, args []string) error {
		body := spec{"version": args[2]}
		if free || expected != "" {
			body["expected"] = expected
		}
		if reason != "" {
			body["reason"] = reason
		}
		return p.showAlias(ctx, client.Request{Method: http.MethodPut, Path: aliasPath(args[0], args[1]), Body: body})
	})
	return cmd
}

func (p *program) aliasGet() *cobra.Command {
	var asOf string
	cmd := &cobra.Command{
		Use: "get MODEL NAME", Short: "Show what an alias names, or named", Args: takes(2, 2, "a model's id and an alias"),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			set(query, "as_of", asOf)
			return p.showAlias(ctx, client.Request{Path: aliasPath(args[0], args[1]), Query: query})
		}),
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", asOfHelp)
	return cmd
}

// showAlias prints the alias that a request answers with; with --quiet the version alone.
func (p *program) showAlias(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	a, err := decode[modelAlias](raw, r.Path)
	if err != nil {
		return err
	}
	if p.quiet {
		p.line("%s", a.Version)
		return nil
	}
	p.fields([]field{
		{"Alias", a.Alias},
		{"Version", a.Version},
		{"Before", opt(a.PreviousVersion)},
		{"Assigned", p.when(a.AssignedAt, a.AssignedBy.Subject)},
		{"Reason", a.Reason},
	})
	return nil
}

func (p *program) aliasList() *cobra.Command {
	var pages paging
	var asOf string
	cmd := &cobra.Command{
		Use: "list MODEL", Short: "List a model's aliases", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			set(query, "as_of", asOf)
			return listing[modelAlias]{
				path: modelPath(args[0]) + "/aliases", query: query, more: "cursor",
				header: []string{"ALIAS", "VERSION", "BEFORE", "ASSIGNED", "BY", "REASON"},
				row: func(a modelAlias) []string {
					return []string{a.Alias, a.Version, opt(a.PreviousVersion), p.ago(a.AssignedAt), a.AssignedBy.Subject, short(a.Reason)}
				},
				none: "no aliases; `phantom alias set " + args[0] + " champion VERSION` makes one",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	cmd.Flags().StringVar(&asOf, "as-of", "", asOfHelp)
	return cmd
}

func (p *program) aliasDelete() *cobra.Command {
	var expected, reason string
	cmd := &cobra.Command{
		Use: "delete MODEL NAME", Short: "Remove an alias; the version stays", Args: takes(2, 2, "a model's id and an alias"),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			set(query, "expected", expected)
			set(query, "reason", reason)
			err := p.call(ctx, client.Request{Method: http.MethodDelete, Path: aliasPath(args[0], args[1]), Query: query}, nil)
			if err == nil && !p.json() && !p.quiet {
				p.line("removed %s", strings.TrimPrefix(args[1], "@"))
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&expected, "expected", "", "only if it names this version now")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	return cmd
}
