package main

import (
	"context"
	"errors"

	"phantom/internal/config"
	"phantom/serving/modelserver"
)

// serveModelServer serves the models of its repository; it needs neither PostgreSQL nor Temporal, but the
// one to know API keys that it has not seen.
func serveModelServer(ctx context.Context, p *parts) error {
	server, err := modelserver.New(p.modelRepository(), modelserver.Params{Log: p.log.Named("modelserver")})
	if err != nil {
		return err
	}
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	keys := p.verifier(config.RoleModelServer, p.cfg.File.Limits.Gateway)
	handler := guarded(server.Handler(), p.modelServerToken, keys)
	go func() {
		ended <- withBooks(listening, keys, func(ctx context.Context) error {
			return listen(ctx, "PHANTOM_MODELSERVER_ADDR", p.cfg.ModelServerAddr, config.TLS{}, handler)
		})
	}()
	if err = server.Recover(ctx); err == nil {
		p.ready.is(config.RoleModelServer)
		close(p.serving.modelsReady)
		select {
		case err = <-ended:
			ended <- nil
		case <-ctx.Done():
			<-p.serving.gatewayEnded
		}
	}
	stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return errors.Join(err, <-ended, server.Close(grace))
}

// serving orders the gateway and the model server of one process: the gateway begins when the models are
// there and ends before they go. An answer that failed only because the process starts or ends would
// count against a canary.
type serving struct {
	modelsReady  chan struct{}
	gatewayEnded chan struct{}
}

func newServing(roles config.Roles) serving {
	s := serving{modelsReady: make(chan struct{}), gatewayEnded: make(chan struct{})}
	if !roles.Has(config.RoleModelServer) {
		close(s.modelsReady)
	}
	if !roles.Has(config.RoleGateway) {
		close(s.gatewayEnded)
	}
	return s
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
