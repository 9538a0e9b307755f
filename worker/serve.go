package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/migrations"
)

// The time that a process has to end: Temporal's activities save themselves first.
const (
	stopGrace    = 30 * time.Second
	retryAtFirst = 200 * time.Millisecond
	retryAtMost  = 5 * time.Second
)

// serve runs the roles of this process until ctx ends or one of them can never serve.
func serve(ctx context.Context) error {
	cfg, err := config.FromEnvironment()
	if err != nil {
		return err
	}
	log, err := newLog(cfg.Log)
	if err != nil {
		return err
	}
	p, err := assemble(ctx, cfg, log)
	if err != nil {
		return err
	}
	log.Info("phantom-worker starts", zap.String("version", version), zap.Stringer("roles", cfg.Roles), zap.String("name", p.name))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return listen(ctx, "PHANTOM_METRICS_ADDR", cfg.MetricsAddr, config.TLS{}, operations(p.ready))
	})
	for _, tail := range p.tails {
		group.Go(func() error { return tail.Run(ctx) })
	}
	group.Go(func() error { return p.snapshots.Run(ctx) })
	for role, run := range roles() {
		if cfg.Roles.Has(role) {
			group.Go(func() error {
				if err := run(ctx, p); err != nil && ctx.Err() == nil {
					return fmt.Errorf("role %s: %w", role, err)
				}
				return nil
			})
		}
	}
	err = group.Wait()
	if closed := p.close(); err == nil {
		err = closed
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	log.Info("phantom-worker has ended")
	return err
}

// roles are what a process can do. Each function returns when ctx has ended and its work is saved, or
// with an error that waiting does not mend.
func roles() map[config.Role]func(context.Context, *parts) error {
	return map[config.Role]func(context.Context, *parts) error{
		config.RoleWorkflows:   serveOrchestration, // one worker serves both on their common queue
		config.RoleActivities:  serveOrchestrationUnlessWorkflows,
		config.RoleTraining:    serveTraining,
		config.RoleProjections: serveProjections,
		config.RoleAPI:         serveAPI,
		config.RoleGateway:     serveGateway,
		config.RoleModelServer: serveModelServer,
	}
}

// databaseReady waits for PostgreSQL; a login or a schema that may not serve is an error for good.
func (p *parts) databaseReady(ctx context.Context, role config.Role) error {
	return p.until(ctx, role, "PostgreSQL", func(ctx context.Context) (bool, error) {
		if err := migrations.Check(ctx, p.pool); err != nil {
			return errors.Is(err, migrations.ErrBehind) || errors.Is(err, migrations.ErrAhead), err
		}
		err := eventstore.CheckRole(ctx, p.pool)
		return errors.Is(err, eventstore.ErrRole) || errors.Is(err, eventstore.ErrSchema), err
	})
}

// until tries until it succeeds, says in readiness and log what it waits for, and gives up when the try
// says that its error is for good.
func (p *parts) until(ctx context.Context, role config.Role, what string, try func(context.Context) (forGood bool, err error)) error {
	return p.patiently(ctx, role, what, func(ctx context.Context) (bool, error) {
		forGood, err := try(ctx)
		if err != nil && !forGood {
			p.ready.not(role, "waits for "+what)
		}
		return forGood, err
	})
}

// patiently is until for what a role serves without: it stays ready meanwhile.
func (p *parts) patiently(ctx context.Context, role config.Role, what string, try func(context.Context) (forGood bool, err error)) error {
	told := ""
	for pause := retryAtFirst; ; pause = min(2*pause, retryAtMost) {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		forGood, err := try(limited)
		cancel()
		if err == nil || forGood {
			return err
		}
		if text := err.Error(); text != told {
			p.log.Warn("a role waits", zap.String("role", string(role)), zap.String("for", what), zap.Error(err))
			told = text
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
