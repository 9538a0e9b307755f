package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/registry"
	"phantom/serving/gateway"
)

// serveGateway answers inferences from the routes on its disk; PostgreSQL and Temporal may be away.
func serveGateway(ctx context.Context, p *parts) error {
	defer close(p.serving.gatewayEnded)
	keys := p.verifier(config.RoleGateway, p.cfg.File.Limits.Gateway)
	targets := map[domain.Target]string{}
	for _, target := range p.cfg.File.Targets {
		targets[domain.Target(target.Name)] = target.URL
	}
	g, err := gateway.New(gateway.Params{ //nolint:contextcheck // its log outlives ctx, until Close has written what waits
		Name: p.gatewayName(), RouteFile: filepath.Join(p.cfg.StateDir, "gateway", "routes.json"), Targets: targets,
		Identify: inferenceCaller(keys), Token: p.modelServerToken,
		Feed: routeFeed{p.following(p.store), p.tails[eventstore.Lifecycle]}, Followers: p.followers, Recorder: recorder{p.registry},
		Metrics: prometheus.DefaultRegisterer, Log: p.log.Named("gateway"),
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Follow(ctx) })
	group.Go(func() error {
		select {
		case <-p.serving.modelsReady:
		case <-ctx.Done():
			return nil
		}
		return withBooks(ctx, keys, func(ctx context.Context) error {
			return listen(ctx, "PHANTOM_GATEWAY_ADDR", p.cfg.GatewayAddr, p.cfg.TLS, g.Handler())
		})
	})
	group.Go(func() error {
		for _, ready := range []<-chan struct{}{p.serving.modelsReady, g.Ready()} {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
		}
		p.ready.is(config.RoleGateway)
		return nil
	})
	err = group.Wait()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return errors.Join(err, g.Close(grace))
}

// gatewayName is the same after a restart: one state folder and address, one gateway.
func (p *parts) gatewayName() string {
	return p.host + "/" + p.cfg.GatewayAddr
}

// routeFeed gives the gateway decoded events.
type routeFeed struct {
	reader *eventstore.Reader
	tail   *eventstore.Tail
}

// Heads implements gateway.Feed.
func (f routeFeed) Heads(ctx context.Context) (map[domain.Tenant]int64, error) {
	heads, err := f.reader.Heads(ctx, eventstore.Lifecycle)
	if err != nil {
		return nil, err
	}
	return byTenant(heads), nil
}

func byTenant(positions map[string]int64) map[domain.Tenant]int64 {
	typed := make(map[domain.Tenant]int64, len(positions))
	for tenant, position := range positions {
		typed[domain.Tenant(tenant)] = position
	}
	return typed
}

// ReadAfter implements gateway.Feed.
func (f routeFeed) ReadAfter(ctx context.Context, cursors map[domain.Tenant]int64, types []string, limit int) ([]gateway.Page, error) {
	after := make([]eventstore.Cursor, 0, len(cursors))
	for tenant, position := range cursors {
		after = append(after, eventstore.Cursor{Tenant: string(tenant), After: position})
	}
	pages, err := f.reader.ReadAfter(ctx, eventstore.Lifecycle, after, types, limit)
	if err != nil {
		return nil, err
	}
	decoded := make([]gateway.Page, len(pages))
	for i, page := range pages {
		decoded[i] = decodePage(page)
	}
	return decoded, nil
}

// decodePage stops before an event that cannot be read.
func decodePage(page eventstore.Page) gateway.Page {
	decoded := gateway.Page{Tenant: domain.Tenant(page.Tenant), Through: page.Through, Err: page.Err}
	for _, event := range page.Events {
		recorded, err := registry.Decode(event)
		if err != nil {
			decoded.Err, decoded.Through = err, event.Position-1
			return decoded
		}
		decoded.Events = append(decoded.Events, recorded)
	}
	return decoded
}

// News implements gateway.Feed with the tail that all followers of this process share.
func (f routeFeed) News() gateway.News { return routeNews{f.tail.News()} }

// routeNews tells who has news.
type routeNews struct{ *eventstore.News }

// Take implements gateway.News.
func (n routeNews) Take() map[domain.Tenant]int64 { return byTenant(n.News.Take()) }

// recorder hands inferences to the registry.
type recorder struct{ registry *registry.Registry }

// RecordInferences implements gateway.Recorder.
func (r recorder) RecordInferences(ctx context.Context, tenant domain.Tenant, cmd domain.RecordInferences, meta domain.Meta) error {
	_, err := r.registry.Handle(ctx, tenant, cmd, meta)
	return err
}
