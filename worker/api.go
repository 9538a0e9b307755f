package main

import (
	"context"

	"phantom/api"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/workflows"
)

// serveAPI answers the HTTP API. It starts without Temporal, and says so where Temporal is needed.
func serveAPI(ctx context.Context, p *parts) error {
	if err := p.databaseReady(ctx, config.RoleAPI); err != nil {
		return err
	}
	handler := api.New(api.Params{
		Registry: p.registry, Reader: p.reader, WaitFor: p.runner.WaitFor, Temporal: p.temporal,
		Feed: p.following(p.store), Tail: p.tails[eventstore.Lifecycle],
		Queue: workflows.DefaultQueues().Orchestration, Targets: p.targetNames(), Version: version, Log: p.log.Named("api"), Stopping: ctx.Done(),
	})
	p.ready.is(config.RoleAPI)
	return listen(ctx, "PHANTOM_API_ADDR", p.cfg.APIAddr, p.cfg.TLS, handler)
}
