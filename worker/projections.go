package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"phantom/activities"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/projection"
	"phantom/workflows"
)

// serveProjections runs the loops, which need PostgreSQL alone, and lets Temporal watch them.
func serveProjections(ctx context.Context, p *parts) error {
	if err := p.databaseReady(ctx, config.RoleProjections); err != nil {
		return err
	}
	if err := prometheus.Register(newLagCollector(p.pool)); err != nil {
		return err
	}
	if err := prometheus.Register(p.applied); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	p.ready.is(config.RoleProjections) // projections apply while Temporal is away
	group.Go(func() error { return p.runner.Run(ctx) })
	group.Go(func() error { return p.watchProjections(ctx) })
	group.Go(func() error { return p.forgetCommands(ctx) })
	for _, log := range []eventstore.Log{eventstore.Lifecycle, eventstore.Inference} {
		group.Go(func() error { return p.anchoring(log).Run(ctx) })
	}
	return group.Wait()
}

// anchoring writes a log's anchors. It reads the log of every tenant, so it has its place beside the projections and their
// connections.
func (p *parts) anchoring(log eventstore.Log) *eventstore.Anchoring {
	auditor := eventstore.NewAuditor(eventstore.New(p.loopPool), p.artifacts)
	return eventstore.NewAnchoring(auditor, log, func(tenant string, err error) {
		p.log.Error("history is not anchored", zap.String("log", string(log)), zap.String("tenant", tenant), zap.Error(err))
	})
}

// watchProjections attaches a ProjectionRunner workflow to each loop.
func (p *parts) watchProjections(ctx context.Context) error {
	if err := p.patiently(ctx, config.RoleProjections, "Temporal", func(ctx context.Context) (bool, error) {
		_, err := p.temporal.CheckHealth(ctx, nil)
		return false, err
	}); err != nil {
		return err
	}
	queues := workflows.DefaultQueues()
	w := p.worker(queues.Projection, worker.Options{DisableWorkflowWorker: true})
	w.RegisterActivity(&activities.Projection{Projections: loops{p.runner}, Signals: p.temporal})
	for _, name := range p.runner.Names() {
		if err := p.startProjectionRunner(ctx, queues.Orchestration, name); err != nil {
			return err
		}
	}
	return p.work(ctx, w, config.RoleProjections)
}

func (p *parts) startProjectionRunner(ctx context.Context, queue, name string) error {
	return p.patiently(ctx, config.RoleProjections, "Temporal", func(ctx context.Context) (bool, error) {
		_, err := p.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: "projection:" + name, TaskQueue: queue,
			WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			StaticSummary:            "Projection " + name,
		}, workflows.KindProjectionRunner, workflows.ProjectionRunnerInput{Name: name})
		if _, running := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); running {
			return false, nil
		}
		return false, err
	})
}

// loops tells activities how the loops of this process are.
type loops struct{ runner *projection.Runner }

// Status implements activities.Projections.
func (l loops) Status(ctx context.Context, name string) (activities.ProjectionStatus, error) {
	status, err := l.runner.Status(ctx, name)
	if errors.Is(err, projection.ErrUnknown) {
		return activities.ProjectionStatus{}, &domain.NotFound{Kind: "projection", ID: name}
	}
	if err != nil {
		return activities.ProjectionStatus{}, fmt.Errorf("projection %s: %w", name, err)
	}
	told := activities.ProjectionStatus{Failure: status.LastError, Parked: status.Parked, Paused: status.PausedAt != nil}
	for _, g := range status.Generations {
		if g.State == projection.Filling {
			told.Rebuild = &activities.ProjectionRebuild{Generation: g.Generation, Percentage: g.Percentage, Rate: orZero(g.Rate), ETASeconds: orZero(g.ETASeconds)}
		}
	}
	for _, tenant := range status.Tenants {
		told.Applied += tenant.Position
		told.Head += tenant.Head
	}
	return told, nil
}

func orZero(x *float64) float64 {
	if x == nil {
		return 0
	}
	return *x
}

// Steer implements activities.Projections. It is what the API does.
func (l loops) Steer(ctx context.Context, s activities.ProjectionSteering) error {
	var err error
	switch s.What {
	case "pause":
		err = l.runner.Pause(ctx, s.Name, s.Reason)
	case "resume":
		err = l.runner.Resume(ctx, s.Name)
	case "rewind":
		err = l.runner.Rewind(ctx, s.Name, string(s.Tenant), s.Position)
	case "rebuild":
		err = l.runner.Regenerate(ctx, s.Name, projection.RebuildRequest{Throttle: s.Throttle, Back: s.Back, Drop: s.Drop})
	case "retry":
		_, err = l.runner.Retry(ctx, s.Name, string(s.Tenant), eventstore.Stream{})
	default:
		return &domain.InvalidInput{Field: "what", Reason: "is pause, resume, rewind, rebuild or retry"}
	}
	if refused, ok := errors.AsType[*projection.Refused](err); ok {
		return &domain.InvalidState{Reason: refused.Reason}
	}
	return err
}
