package main

import (
	"context"

	"phantom/access"
	"phantom/api"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/workflows"
)

// serveAPI answers the HTTP API. It starts without Temporal, and says so where Temporal is needed.
func serveAPI(ctx context.Context, p *parts) error {
	if err := p.databaseReady(ctx, config.RoleAPI); err != nil {
		return err
	}
	keys := p.verifier(config.RoleAPI, p.cfg.File.Limits.API)
	handler := api.New(api.Params{
		Keys: access.NewKeys(p.pool), Verifier: keys,
		Registry: p.registry, Reader: p.reader, Feed: p.following(p.store), Tail: p.tails[eventstore.Lifecycle], WaitFor: p.runner.WaitFor, Projections: p.runner, Temporal: p.temporal,
		Queue: workflows.DefaultQueues().Orchestration, Targets: p.targetNames(), Operators: p.operators(),
		Artifacts: p.artifacts, MaxArtifact: p.cfg.File.ArtifactLimit, Version: version, Log: p.log.Named("api"), Stopping: ctx.Done(),
	})
	p.ready.is(config.RoleAPI)
	return withBooks(ctx, keys, func(ctx context.Context) error {
		return listen(ctx, "PHANTOM_API_ADDR", p.cfg.APIAddr, p.cfg.TLS, handler)
	})
}

// operators are the tenants whose admins may do what concerns all tenants.
func (p *parts) operators() []domain.Tenant {
	names := make([]domain.Tenant, len(p.cfg.File.Operators))
	for i, name := range p.cfg.File.Operators {
		names[i] = domain.Tenant(name)
	}
	return names
}
