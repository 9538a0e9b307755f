package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	enums "go.temporal.io/api/enums/v1"

	"phantom/domain"
	"phantom/readmodel"
	"phantom/workflows"
)

type deploymentList struct {
	ModelPath
	Paging
	Freshness
	ModelMoment

	Target  string `query:"target"`
	Current bool   `query:"current" doc:"Only what has not ended"`
}

type deploymentStart struct {
	ModelPath
	WriteHeaders

	Body json.RawMessage
}

// TargetPath is the part of a path that names a target.
type TargetPath struct {
	Target string `path:"target" pattern:"^[a-z0-9][a-z0-9-]{0,62}$" patternDescription:"[a-z0-9][a-z0-9-]{0,62}"`
}

type rollbackStart struct {
	ModelPath
	TargetPath
	WriteHeaders

	Body json.RawMessage
}

type undeployStart struct {
	ModelPath
	TargetPath
	WriteHeaders

	Reason string `query:"reason"`
}

func (s *server) deployments(api huma.API) {
	const all = "/api/v1/models/{model_id}/deployments"
	handle(s, api, operation("list-deployments", http.MethodGet, all, "List what serves, and served, where; the newest first", "deployments"), s.listDeployments)
	deploy := operation("start-deployment", http.MethodPost, all, "Deploy a version by canary: starts a DeployModel saga", "deployments")
	deploy.DefaultStatus = http.StatusAccepted
	handle(s, api, deploy, s.startDeployment)
	describeBody[workflows.DeployModelInput](api, deploy, "version", "target")
	undeploy := operation("undeploy", http.MethodDelete, all+"/{target}", "Serve no longer: starts an UndeployModel saga", "deployments")
	undeploy.DefaultStatus = http.StatusAccepted
	handle(s, api, undeploy, s.startUndeployment)
	rollback := operation("roll-back", http.MethodPost, all+"/{target}/rollback", "Bring the previous version back at once: starts a RollbackModel saga", "deployments")
	rollback.DefaultStatus = http.StatusAccepted
	handle(s, api, rollback, s.startRollback)
	describeBody[workflows.RollbackModelInput](api, rollback)
	omitFields[workflows.RollbackModelInput](api, "target")
}

func (s *server) listDeployments(ctx context.Context, in *deploymentList) (*list[readmodel.Deployment], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.DeploymentsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, in.id(), in.ModelMoment, readmodel.DeploymentsName)
	if err != nil {
		return nil, err
	}
	filter := readmodel.DeploymentFilter{ModelID: in.id(), Target: domain.Target(in.Target), Current: in.Current, AsOf: asOf}
	found, err := s.Reader.ListDeployments(ctx, callerOf(ctx).Tenant, filter, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, in.id(), asOf, len(found.Items))
}

func (s *server) startDeployment(ctx context.Context, in *deploymentStart) (*accepted, error) {
	input, err := parseInput(ctx, in.id(), in.Body, workflows.ParseDeployModel)
	if err != nil {
		return nil, err
	}
	if !s.serves(input.Target) {
		return nil, &domain.InvalidInput{Field: "target", Reason: s.noTarget(input.Target)}
	}
	version, err := s.resolve(ctx, in.id(), input.Version)
	if err != nil {
		return nil, err
	}
	input.Version = domain.VersionRef(version) // the saga deploys what is meant now, also when it waits
	return s.begin(ctx, in.WriteHeaders, sagaStart{
		kind: workflows.KindDeployModel, prefix: "deploy", key: string(input.Target), model: in.id(),
		target: input.Target, version: version, input: input, reuse: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		summary: fmt.Sprintf("deploy %s version %s to %s", in.id(), input.Version, input.Target),
		details: "asked for by " + callerOf(ctx).Actor.Subject + " over HTTP",
		admit: func(m domain.Model) error {
			if err := active(m, in.id()); err != nil {
				return err
			}
			_, err := m.Resolve(input.Version)
			return err
		},
	})
}

// resolve is the version of an active model that a reference means now. A number is not looked up.
func (s *server) resolve(ctx context.Context, id domain.ModelID, ref domain.VersionRef) (domain.Version, error) {
	if number := domain.Version(ref); number.Valid() || ref == "" {
		return number, nil
	}
	m, err := s.Registry.Model(ctx, callerOf(ctx).Tenant, id)
	if err != nil {
		return "", err
	}
	if err := active(m, id); err != nil {
		return "", err
	}
	return m.Resolve(ref)
}

func (s *server) startRollback(ctx context.Context, in *rollbackStart) (*accepted, error) {
	target := domain.Target(in.Target)
	if !s.serves(target) {
		return nil, problem(http.StatusNotFound, CodeNotFound, s.noTarget(target))
	}
	input, err := parsePlaced(ctx, in.id(), target, in.Body, workflows.ParseRollbackModel)
	if err != nil {
		return nil, err
	}
	to, err := s.resolve(ctx, in.id(), input.To)
	if err != nil {
		return nil, err
	}
	input.To = domain.VersionRef(to)
	return s.begin(ctx, in.WriteHeaders, sagaStart{
		kind: workflows.KindRollbackModel, prefix: "rollback", key: in.Target, model: in.id(), target: target, version: to,
		input: input, reuse: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		summary: fmt.Sprintf("roll %s back at %s", in.id(), in.Target),
		details: "asked for by " + callerOf(ctx).Actor.Subject + " over HTTP",
		admit:   func(m domain.Model) error { return canRollBack(m, in.id(), target, to) },
	})
}

// canRollBack refuses when there is no version to go back to.
func canRollBack(m domain.Model, id domain.ModelID, target domain.Target, to domain.Version) error {
	if err := active(m, id); err != nil {
		return err
	}
	if to != "" {
		if _, err := m.Resolve(domain.VersionRef(to)); err != nil {
			return err
		}
	}
	standing, deployed := m.Deployed[target]
	_, running := m.Rollouts[target]
	switch {
	case running:
		return nil // it is aborted first; then the saga sees
	case !deployed:
		return &domain.InvalidState{Reason: fmt.Sprintf("nothing of model %s is deployed at %s", id, target), Current: string(m.Status())}
	case to == "" && standing.Previous == "":
		return &domain.InvalidState{Reason: fmt.Sprintf("version %s is the first of model %s at %s: there is none to go back to", standing.Version, id, target)}
	}
	return nil
}

func (s *server) startUndeployment(ctx context.Context, in *undeployStart) (*accepted, error) {
	target := domain.Target(in.Target)
	if !s.serves(target) {
		return nil, problem(http.StatusNotFound, CodeNotFound, s.noTarget(target))
	}
	body, err := json.Marshal(map[string]string{"reason": in.Reason})
	if err != nil {
		return nil, fmt.Errorf("encode the reason: %w", err)
	}
	input, err := parsePlaced(ctx, in.id(), target, body, workflows.ParseUndeployModel)
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, in.WriteHeaders, sagaStart{
		kind: workflows.KindUndeployModel, prefix: "undeploy", key: in.Target, model: in.id(), target: target,
		input: input, reuse: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		summary: fmt.Sprintf("undeploy %s from %s", in.id(), in.Target),
		details: "asked for by " + callerOf(ctx).Actor.Subject + " over HTTP",
		admit: func(m domain.Model) error {
			if err := active(m, in.id()); err != nil {
				return err
			}
			_, err := domain.Decide(domain.Aggregates{Model: m}, domain.UndeployModel{ModelID: in.id(), DeploymentTarget: target, Reason: in.Reason})
			return err
		},
	})
}
