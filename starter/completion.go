package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// completionLimit is how long a shell may wait for names: who presses Tab rather goes on without.
const completionLimit = time.Second

// complete lets shells complete live names: of models where a command takes one, and of the model's versions,
// aliases and targets. Whatever goes wrong is silent: the shell then offers nothing.
func (p *program) complete(root *cobra.Command) {
	for _, child := range root.Commands() {
		p.complete(child)
	}
	if root.HasSubCommands() || root.ValidArgsFunction != nil {
		return
	}
	words := strings.Fields(root.Use)
	if len(words) < 2 || !p.namesModel(root, strings.Trim(words[1], "[]")) {
		return
	}
	root.ValidArgsFunction = p.offers(func(ctx context.Context, args []string) []string {
		switch {
		case len(args) == 0:
			return p.names(ctx, "/api/v1/models", "model_id")
		case len(args) < len(words)-1 && words[len(args)+1] == "NAME":
			return p.names(ctx, modelPath(args[0])+"/aliases", "alias")
		case len(args) < len(words)-1 && words[len(args)+1] == "VERSION":
			return p.names(ctx, modelPath(args[0])+"/versions", "version")
		}
		return nil
	})
	for flag, list := range map[string]string{"version": "version", "to": "version", "target": "target"} {
		if root.Flags().Lookup(flag) == nil || root.Name() == "analytics" {
			continue
		}
		err := root.RegisterFlagCompletionFunc(flag, p.offers(func(ctx context.Context, args []string) []string {
			if len(args) == 0 {
				return nil
			}
			if list == "target" {
				return p.names(ctx, modelPath(args[0])+"/deployments", "target")
			}
			return p.names(ctx, modelPath(args[0])+"/versions", "version")
		}))
		if err != nil {
			panic(err) // registered twice: a mistake of this program
		}
	}
}

// namesModel tells whether a command's first argument is a model that is there.
func (p *program) namesModel(cmd *cobra.Command, argument string) bool {
	if argument == "MODEL" {
		return true
	}
	group := cmd.Parent().Name()
	return argument == "ID" && cmd.Name() != "create" && slices.Contains([]string{"model", "training", "rollout"}, group)
}

// offers is a completion of cobra's that asks the API, for a second at most.
func (p *program) offers(names func(context.Context, []string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if p.prepare() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		fit := slices.DeleteFunc(names(ctx, args), func(name string) bool { return !strings.HasPrefix(name, begun) })
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// names are those that a list of the API holds in a field, each once; none when it does not answer.
func (p *program) names(ctx context.Context, path, field string) []string {
	var found page[map[string]any]
	if p.api.Do(ctx, client.Request{Path: path, Query: url.Values{"limit": {"200"}}}, &found) != nil {
		return nil
	}
	var names []string
	for _, item := range found.Items {
		if name, ok := item[field].(string); ok && !slices.Contains(names, name) {
			names = append(names, clean(name))
		}
	}
	return names
}
