package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"phantom/internal/config"
	"phantom/serving/modelserver"
)

// serveModelServer serves the models of its repository; it needs neither PostgreSQL nor Temporal.
func serveModelServer(ctx context.Context, p *parts) error {
	server, err := modelserver.New(p.modelRepository(), modelserver.Params{Log: p.log.Named("modelserver")})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return listen(ctx, "PHANTOM_MODELSERVER_ADDR", p.cfg.ModelServerAddr, config.TLS{}, server.Handler())
	})
	group.Go(func() error {
		if err := server.Recover(ctx); err != nil {
			return err
		}
		p.ready.is(config.RoleModelServer)
		return nil
	})
	err = group.Wait()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return errors.Join(err, server.Close(grace))
}

// modelRepository is the folder of the target that this server is, or the state folder's.
func (p *parts) modelRepository() string {
	for _, target := range p.cfg.File.Targets {
		if target.URL == "http://"+p.cfg.ModelServerAddr {
			return target.Repository
		}
	}
	return p.state("models")
}
