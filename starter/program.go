package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
	"phantom/internal/config"
)

// answerLimit is how long one answer of the API may take; the server itself gives up earlier.
const answerLimit = 60 * time.Second

// program is what every command knows.
type program struct {
	folder    string
	environ   []string
	in        io.Reader
	out, errs io.Writer
	now       func() time.Time
	look      time.Duration // between two looks at a saga
	forceLive bool
	// executable is the path of this program: phantom-worker lies beside it.
	executable func() (string, error)

	tenant, output, url string
	quiet, noColor      bool

	began bool // a command runs: what comes is no wrong usage of flags and arguments
	cfg   config.Config
	api   *client.Client
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root() //nolint:contextcheck // cobra hands the context to each command
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.errs)
	p.complete(root) //nolint:contextcheck // cobra hands the context to each command
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, onlyChildren
	}
	cmd, err := root.ExecuteContextC(ctx)
	status, line := explain(err)
	if err != nil && !p.began {
		status = exitUsage
		if _, own := errors.AsType[*failure](err); !own { // cobra's words on flags
			line += "; `" + cmd.CommandPath() + " --help` lists its flags"
		}
	}
	if line != "" {
		fmt.Fprintln(p.errs, "phantom: "+line)
	}
	return status
}

func (p *program) root() *cobra.Command {
	root := p.group("phantom", "Carry machine-learning models through their life",
		p.modelCommand(), p.aliasCommand(), p.artifactCommand(), p.trainCommand(), p.trainingCommand(), p.deployCommand(), p.rolloutCommand(), p.undeployCommand(),
		p.rollbackCommand(), p.approvalsCommand(), p.tailCommand(), p.inferCommand(), p.feedbackCommand(), p.projectionCommand(), p.keyCommand(), p.auditCommand(), p.doctorCommand(), p.versionCommand())
	root.Long = "Carry machine-learning models through their life: train, approve, version, deploy with a canary, roll back.\n\n" + exitHelp
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s; `%s --help` lists its flags", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&p.tenant, "tenant", "", "whose models (default PHANTOM_TENANT, else default; with PHANTOM_API_KEY the key's)")
	flags.StringVarP(&p.output, "output", "o", "table", "table, or json: exactly the API's object")
	flags.BoolVar(&p.quiet, "quiet", false, "ids and results only: no progress, no hints")
	flags.BoolVar(&p.noColor, "no-color", false, "no colors, like NO_COLOR")
	flags.StringVar(&p.url, "url", "", "the API's address (default PHANTOM_URL, else the private stack's)")
	return root
}

// group is a command that only holds others. cobra prints help for an unknown word below a group, and
// ends well; here it is wrong usage.
func (p *program) group(use, short string, children ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: onlyChildren, SuggestionsMinimumDistance: 2,
	}
	group.AddCommand(children...)
	return group
}

func onlyChildren(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	meant := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		meant = "did you mean " + strings.Join(near, " or ") + "? "
	}
	return usagef("there is no command `%s %s`; %s`%s --help` lists them", cmd.CommandPath(), args[0], meant, cmd.CommandPath())
}

// action is what a command does, once flags and configuration are known.
type action func(ctx context.Context, args []string) error

// does makes an action cobra's.
func (p *program) does(do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p.began = true
		if err := p.prepare(); err != nil {
			return err
		}
		return do(cmd.Context(), args)
	}
}

// takes is cobra.RangeArgs that says what is missing.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("`%s` needs %s; `%s --help` tells more", cmd.UseLine(), what, cmd.CommandPath())
		case most >= 0 && len(args) > most:
			return usagef("`%s` does not take %q; `%s --help` tells more", cmd.UseLine(), args[most], cmd.CommandPath())
		}
		return nil
	}
}

// prepare reads the configuration and lays the flags over it.
func (p *program) prepare() error {
	if p.output != outputTable && p.output != outputJSON {
		return usagef("--output is %q: accepted is table, json", p.output)
	}
	environ := p.environ
	if p.url != "" {
		environ = append(environ, "PHANTOM_URL="+p.url)
	}
	if p.tenant != "" {
		environ = append(environ, "PHANTOM_TENANT="+p.tenant)
	}
	cfg, err := config.LoadIn(p.folder, config.In(environ))
	if err != nil {
		return &failure{exitUsage, err.Error()}
	}
	if named, _ := config.In(environ)("PHANTOM_TENANT"); cfg.CLI.APIKey != "" && named == "" {
		cfg.CLI.Tenant = "" // the key says whose it is
	}
	p.cfg = cfg
	p.api = &client.Client{URL: cfg.CLI.URL, APIKey: cfg.CLI.APIKey, Tenant: cfg.CLI.Tenant, Actor: whoami()}
	return nil
}

// whoami is who the audit trail names where nobody has to prove it.
func whoami() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return ""
}

// call is one request with a deadline.
func (p *program) call(ctx context.Context, r client.Request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return p.api.Do(ctx, r, out)
}

// gateway is the address of the inference gateway: the flag's, the environment's, the private stack's.
func (p *program) gateway(flag string) string {
	if flag != "" {
		return strings.TrimSuffix(flag, "/")
	}
	if given, ok := config.In(p.environ)("PHANTOM_GATEWAY_ADDR"); !ok || given == "" {
		if stack, err := p.stack(); err == nil && stack.Phantom.GatewayURL != "" {
			return strings.TrimSuffix(stack.Phantom.GatewayURL, "/")
		}
	}
	if p.cfg.TLS.On() {
		return "https://" + p.cfg.GatewayAddr
	}
	return "http://" + p.cfg.GatewayAddr
}

// stack tells of the private stack of this folder.
func (p *program) stack() (config.Stack, error) {
	return config.ReadStack(filepath.Join(p.cfg.StateDir, config.StackFile))
}

// isNotFound tells a 404 of the API.
func isNotFound(err error) bool {
	problem, ok := errors.AsType[*client.Problem](err)
	return ok && problem.Status == http.StatusNotFound
}
