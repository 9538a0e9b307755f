package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/worker"

	"phantom/internal/config"
	"phantom/workflows"
)

// serveOrchestration runs the sagas and, where this process has that role too, their activities.
func serveOrchestration(ctx context.Context, p *parts) error {
	return p.orchestrate(ctx, config.RoleWorkflows)
}

// serveOrchestrationUnlessWorkflows runs the activities alone: with the sagas, one worker does both.
func serveOrchestrationUnlessWorkflows(ctx context.Context, p *parts) error {
	if p.cfg.Roles.Has(config.RoleWorkflows) {
		return nil
	}
	return p.orchestrate(ctx, config.RoleActivities)
}

func (p *parts) orchestrate(ctx context.Context, role config.Role) error {
	if err := p.serverReady(ctx, role); err != nil {
		return err
	}
	sagas, effects := p.cfg.Roles.Has(config.RoleWorkflows), p.cfg.Roles.Has(config.RoleActivities)
	queues := workflows.DefaultQueues()
	w := p.worker(queues.Orchestration, worker.Options{
		DisableWorkflowWorker: !sagas, LocalActivityWorkerOnly: !effects,
		MaxConcurrentActivityExecutionSize: 200,
		// A person who aborts a canary waits for no more than this until the activity hears of it.
		MaxHeartbeatThrottleInterval: time.Second,
	})
	if sagas {
		workflows.New(workflows.Settings{Queues: queues}).Register(w)
	}
	if effects {
		if err := p.registerOrchestration(w); err != nil {
			return err
		}
	}
	return p.work(ctx, w, config.RoleWorkflows, config.RoleActivities)
}

// polling is a Temporal worker that tells when the server refuses it for good, and it polls no more.
type polling struct {
	worker.Worker
	died <-chan error
}

func (p *parts) worker(queue string, options worker.Options) polling {
	died := make(chan error, 1)
	options.WorkerStopTimeout = stopGrace
	options.OnFatalError = func(err error) { died <- err }
	return polling{worker.New(p.temporal, queue, options), died}
}

// work runs a Temporal worker until ctx ends, or the worker does.
func (p *parts) work(ctx context.Context, w polling, roles ...config.Role) error {
	if err := w.Start(); err != nil {
		return err
	}
	for _, role := range roles {
		p.ready.is(role)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-w.died:
		err = fmt.Errorf("the server takes no worker of namespace %s any more: %w", p.namespace, err)
	}
	w.Stop()
	return err
}

// serverReady waits for Temporal, and teaches it the search attributes of the sagas.
func (p *parts) serverReady(ctx context.Context, role config.Role) error {
	if err := p.databaseReady(ctx, role); err != nil {
		return err
	}
	return p.until(ctx, role, "Temporal", func(ctx context.Context) (bool, error) {
		if _, err := p.temporal.CheckHealth(ctx, nil); err != nil {
			return false, err
		}
		return false, p.registerSearchAttributes(ctx)
	})
}

// registerSearchAttributes is idempotent; what is there already stays.
func (p *parts) registerSearchAttributes(ctx context.Context) error {
	known, err := p.temporal.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: p.namespace})
	if err != nil {
		return fmt.Errorf("list the search attributes of namespace %s: %w", p.namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range workflows.SearchAttributes() {
		if _, there := known.GetCustomAttributes()[name]; !there {
			missing[name] = kind
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = p.temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: p.namespace, SearchAttributes: missing,
	})
	var there *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &there) {
		return fmt.Errorf("add the search attributes to namespace %s: %w", p.namespace, err)
	}
	return nil
}
