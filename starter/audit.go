package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

// auditCommand hands on to phantom-worker: what reads the database lives there.
func (p *program) auditCommand() *cobra.Command {
	var log string
	verify := &cobra.Command{
		Use: "verify", Short: "Tell whether history has been changed, and where first", Args: takes(0, 0, ""),
		Long: "Tell whether history has been changed, and where first. It runs `phantom-worker audit verify`, which needs\n" +
			"DATABASE_URL and PHANTOM_ARTIFACTS_URL; all tenants, unless --tenant names one.",
		RunE: p.does(func(ctx context.Context, _ []string) error {
			args := []string{"audit", "verify", "--output", p.output}
			if p.tenant != "" {
				args = append(args, "--tenant", p.tenant)
			}
			if log != "" {
				args = append(args, "--log", log)
			}
			return p.handOn(ctx, args)
		}),
	}
	verify.Flags().StringVar(&log, "log", "", "lifecycle or inference (default both)")
	return p.group("audit", "Look whether history has been changed", verify)
}

// handOn runs the phantom-worker that lies beside this program. It speaks for itself, also when it fails.
func (p *program) handOn(ctx context.Context, args []string) error {
	own, err := p.executable()
	if err != nil {
		return fmt.Errorf("the folder of this program: %w", err)
	}
	name := "phantom-worker"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	path, err := exec.LookPath(filepath.Join(filepath.Dir(own), name))
	if err != nil {
		return fmt.Errorf("this command is phantom-worker's, and there is none in %s: install it beside phantom", filepath.Dir(own))
	}
	worker := exec.CommandContext(ctx, path, args...)
	worker.Dir, worker.Env = p.folder, p.environ
	worker.Stdin, worker.Stdout, worker.Stderr = p.in, p.out, p.errs
	err = worker.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return &failure{max(ended.ExitCode(), exitFailed), ""}
	}
	return err
}
