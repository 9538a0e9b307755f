package main

import (
	"context"
	"encoding/json"
	"errors"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/projection"
	"phantom/registry"
	"phantom/serving/gateway"
	"phantom/serving/target"
)

// registerDeployment registers the activities that bring versions to targets.
func (p *parts) registerDeployment(w worker.Worker) error {
	targets, err := p.servingTargets()
	if err != nil {
		return err
	}
	routes := gatewayRoutes{p.store, p.followers}
	observed := inferenceLog{p.store, p.registry}
	w.RegisterActivity(&activities.Deployment{
		Models: p.registry, Targets: targets, Bundles: p.artifacts, Log: observed, Routes: routes,
	})
	w.RegisterActivity(&activities.Serving{Models: p.registry, Targets: targets, Bundles: p.artifacts, Routes: routes})
	w.RegisterActivity(&activities.Routing{Commands: p.registry, Routes: routes})
	w.RegisterActivity(&activities.Canary{Commands: p.registry, Rollouts: p.registry, Log: observed, Signals: p.temporal})
	w.RegisterActivity(&activities.Takeover{Sagas: sagas{p.temporal}})
	return nil
}

// servingTargets are the configured targets.
type servingTargets struct {
	targetNames
	drivers map[domain.Target]*target.Target
	configs map[domain.Target]config.Target
}

func (p *parts) servingTargets() (servingTargets, error) {
	targets := servingTargets{
		targetNames: p.targetNames(), drivers: map[domain.Target]*target.Target{}, configs: map[domain.Target]config.Target{},
	}
	for _, configured := range p.cfg.File.Targets {
		name := domain.Target(configured.Name)
		driver, err := target.New(target.Config{
			Name: name, URL: configured.URL, Repository: configured.Repository, Layout: target.Layout(configured.Layout),
			Token: p.modelServerToken,
		})
		if err != nil {
			return targets, err
		}
		targets.drivers[name], targets.configs[name] = driver, configured
	}
	return targets, nil
}

// Target implements activities.ServingTargets.
func (t servingTargets) Target(name domain.Target) (activities.ServingTarget, bool) {
	driver, known := t.drivers[name]
	return driver, known
}

// Sharing implements activities.ServingTargets: one address is one server, and two that read one repository
// lose the same files.
func (t servingTargets) Sharing(name domain.Target) []domain.Target {
	var sharing []domain.Target
	this := t.configs[name]
	for _, other := range t.Names() {
		if one := t.configs[other]; one.URL == this.URL || one.Repository == this.Repository {
			sharing = append(sharing, other)
		}
	}
	return sharing
}

// CheckConfig implements activities.ServingTargets.
func (servingTargets) CheckConfig(config json.RawMessage) error {
	_, err := gateway.ParseSettings(config)
	return err
}

// gatewayRoutes asks how far the gateways are.
type gatewayRoutes struct {
	store     *eventstore.Store
	followers *projection.Followers
}

// Head implements activities.Routes.
func (r gatewayRoutes) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	return r.store.Head(ctx, string(tenant), eventstore.Lifecycle)
}

// Lagging implements activities.Routes.
func (r gatewayRoutes) Lagging(ctx context.Context, tenant domain.Tenant, position int64) ([]string, error) {
	return r.followers.Lagging(ctx, string(tenant), gateway.Group, position)
}

// inferenceLog reads decoded events of the inference log, with what was sealed in clear: a canary is
// measured on what people were told, too.
type inferenceLog struct {
	store    *eventstore.Store
	registry *registry.Registry
}

// Head implements activities.InferenceLog.
func (l inferenceLog) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	return l.store.Head(ctx, string(tenant), eventstore.Inference)
}

// Events implements activities.InferenceLog.
func (l inferenceLog) Events(ctx context.Context, tenant domain.Tenant, stream domain.StreamID, from int64, limit int) ([]domain.Recorded, error) {
	events, err := l.store.Load(ctx, string(tenant), eventstore.Inference,
		eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, eventstore.Range{From: from, Limit: limit})
	if err != nil {
		return nil, err
	}
	recorded := make([]domain.Recorded, len(events))
	for i, event := range events {
		if recorded[i], err = registry.Decode(event); err != nil {
			return nil, err
		}
	}
	return recorded, l.registry.Open(ctx, tenant, recorded)
}

// sagas ends running workflows.
type sagas struct{ client client.Client }

// CancelAndWait implements activities.Sagas.
func (s sagas) CancelAndWait(ctx context.Context, workflowID string) (ran bool, err error) {
	var gone *serviceerror.NotFound
	running, err := s.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if errors.As(err, &gone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info := running.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false, nil
	}
	run := info.GetExecution().GetRunId()
	if err := s.client.CancelWorkflow(ctx, workflowID, run); err != nil && !errors.As(err, &gone) {
		return true, err
	}
	err = s.client.GetWorkflow(ctx, workflowID, run).Get(ctx, nil)
	var ended *temporal.WorkflowExecutionError // cancelled or failed, which is an end too
	if err == nil || errors.As(err, &ended) {
		return true, nil
	}
	return true, err
}
