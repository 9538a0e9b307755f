package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// deployment is what is shown of a deployment.
type deployment struct {
	Target     string     `json:"target"`
	Version    string     `json:"version"`
	State      string     `json:"state"`
	Weight     int        `json:"weight"`
	RolloutID  *string    `json:"rollout_id"`
	DeployedAt *time.Time `json:"deployed_at"`
	DeployedBy actor      `json:"deployed_by"`
	EndedAt    *time.Time `json:"ended_at"`
	EndReason  string     `json:"end_reason"`
}

func (p *program) modelDeployments() *cobra.Command {
	var pages paging
	var then moment
	cmd := &cobra.Command{
		Use: "deployments ID", Short: "List where a model's versions serve and served, the newest first", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			if err := then.ask(query); err != nil {
				return err
			}
			return listing[deployment]{
				path: modelPath(args[0]) + "/deployments", query: query, more: "cursor",
				header: []string{"TARGET", "VERSION", "STATE", "TRAFFIC", "DEPLOYED", "BY", "ENDED", "WHY"},
				row: func(d deployment) []string {
					return []string{
						d.Target, d.Version, d.State, strconv.Itoa(d.Weight) + " %", p.ago(d.DeployedAt), d.DeployedBy.Subject,
						p.ago(d.EndedAt), short(d.EndReason),
					}
				},
				none: "nothing deployed; `phantom deploy " + args[0] + " --version latest --target local` does it",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	then.add(cmd.Flags())
	return cmd
}

// deployFlags are laid over the spec's fields of the same meaning.
type deployFlags struct {
	file, version, target, maxHold, onInconclusive, approval, key string
	steps, rules                                                  []string
	wait                                                          bool
}

func (p *program) deployCommand() *cobra.Command {
	var f deployFlags
	cmd := &cobra.Command{
		Use: "deploy MODEL --version V --target T", Short: "Bring a version to a target, by canary", Args: takes(1, 1, modelArgument),
		Long: `Bring a version to a target: start a DeployModel saga. Where another version serves, the new one gets a
growing share of the traffic, and sequential tests decide: it is promoted when every required metric is
accepted, and rolled back when one has failed. The spec is the saga's input; flags override its fields.`,
		Example: `  phantom deploy digits --version latest --target local --wait
  phantom deploy digits --version 3 --target local --step 10:30s --step 50:30s --require 'error_rate<=0.01' --require 'accuracy>=0.9'`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "the spec: YAML or JSON, - for standard input")
	flags.StringVar(&f.version, "version", "", "the version's number, latest, or @ALIAS")
	flags.StringVar(&f.target, "target", "", "where to serve")
	flags.StringArrayVar(&f.steps, "step", nil, "percent of the traffic and the least time to hold it, such as 10:30s; in order")
	flags.StringArrayVar(&f.rules, "require", nil, "what must be proven on live traffic, such as accuracy>=0.9 (default error_rate<=0.01)")
	flags.StringVar(&f.maxHold, "max-hold", "", "the most time of one step (default 1h)")
	flags.StringVar(&f.onInconclusive, "on-inconclusive", "", "without a verdict: pause, continue or rollback (default pause)")
	flags.StringVar(&f.approval, "approval", "", "ask a person before it gets traffic, and wait so long, such as 24h")
	flags.StringVar(&f.key, "key", "", "a key for this request: asked for twice, it happens once")
	flags.BoolVar(&f.wait, "wait", false, "show it until it ends")
	cmd.RunE = p.does(func(ctx context.Context, args []string) error {
		body, err := p.readSpec(f.file, args[0])
		if err != nil {
			return err
		}
		if err := f.lay(body, flags.Changed); err != nil {
			return err
		}
		return p.start(ctx, client.Request{
			Method: http.MethodPost, Path: modelPath(args[0]) + "/deployments", Body: body, Header: keyed(f.key),
		}, f.wait, needsText(body)...)
	})
	return cmd
}

// lay puts the flags that were given over the spec.
func (f *deployFlags) lay(body spec, given func(string) bool) error {
	for _, one := range []struct {
		flag, value string
		path        []string
	}{
		{"version", f.version, []string{"version"}},
		{"target", f.target, []string{"target"}},
		{"max-hold", f.maxHold, []string{"strategy", "canary", "max_hold"}},
		{"on-inconclusive", f.onInconclusive, []string{"strategy", "canary", "on_inconclusive"}},
		{"approval", f.approval, []string{"approval", "timeout"}},
	} {
		if given(one.flag) {
			if err := body.put(one.value, one.path...); err != nil {
				return err
			}
		}
	}
	if err := body.putEach("steps", f.steps, parseStep); err != nil {
		return err
	}
	err := body.putEach("analysis", f.rules, func(text string) (any, error) {
		r, err := parseRule("--require", text)
		r.Required = true
		return r, err
	})
	if err != nil {
		return err
	}
	return body.checkVersion()
}

// checkVersion wants what the command cannot do without.
func (s spec) checkVersion() error {
	if number, isNumber := s["version"].(uint64); isNumber { // `version: 2` in YAML
		s["version"] = strconv.FormatUint(number, 10)
	}
	switch {
	case s["version"] == nil:
		return usagef("--version is needed: a version's number, latest, or an alias like @champion")
	case s["target"] == nil:
		return usagef("--target is needed: where to serve, such as local")
	}
	return nil
}

// putEach sets a list of the canary from a flag that may be given many times.
func (s spec) putEach(name string, texts []string, parse func(string) (any, error)) error {
	if len(texts) == 0 {
		return nil
	}
	list := make([]any, len(texts))
	for i, text := range texts {
		value, err := parse(text)
		if err != nil {
			return err
		}
		list[i] = value
	}
	return s.put(list, "strategy", "canary", name)
}

// parseStep reads 10:30s.
func parseStep(text string) (any, error) {
	weight, hold, ok := strings.Cut(text, ":")
	percent, err := strconv.Atoi(strings.TrimSuffix(weight, "%"))
	if !ok || hold == "" || err != nil {
		return nil, usagef("--step is %q: accepted is percent:hold, such as 10:30s", text)
	}
	return map[string]any{"weight": percent, "hold": hold}, nil
}

func (p *program) undeployCommand() *cobra.Command {
	var target, reason string
	var wait bool
	cmd := &cobra.Command{
		Use: "undeploy MODEL --target T", Short: "Take a model off a target", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			set(query, "reason", reason)
			return p.start(ctx, client.Request{Method: http.MethodDelete, Path: targetPath(args[0], target), Query: query}, wait)
		}),
	}
	cmd.Flags().StringVar(&target, "target", "", "where it serves")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	cmd.Flags().BoolVar(&wait, "wait", false, "show it until it ends")
	require(cmd, "target")
	return cmd
}

func (p *program) rollbackCommand() *cobra.Command {
	var target, to, reason string
	var wait bool
	cmd := &cobra.Command{
		Use: "rollback MODEL --target T --reason WHY", Short: "Bring the previous version back at once, without a canary",
		Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{"reason": reason}
			if to != "" {
				body["to"] = to
			}
			return p.start(ctx, client.Request{
				Method: http.MethodPost, Path: targetPath(args[0], target) + "/rollback", Body: body,
			}, wait)
		}),
	}
	cmd.Flags().StringVar(&target, "target", "", "where it serves")
	cmd.Flags().StringVar(&to, "to", "", "the version to bring back: a number or @ALIAS (default the previous one)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	cmd.Flags().BoolVar(&wait, "wait", false, "show it until it ends")
	require(cmd, "target", "reason")
	return cmd
}

func targetPath(model, target string) string {
	return modelPath(model) + "/deployments/" + url.PathEscape(target)
}
