package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

// RolloutFilter are the query parameters of a list of rollouts.
type RolloutFilter struct {
	Paging
	Freshness
	Moment

	Target string `query:"target"`
	State  string `query:"state" enum:"running,promoted,rolled_back"`
}

type rolloutList struct {
	ModelPath
	RolloutFilter

	AtRevision int64 `query:"at_revision" minimum:"0" doc:"The answer as it was right after this revision of the model"`
}

// RolloutGet asks for a rollout.
type RolloutGet struct {
	Freshness
	Moment

	Rollout string `path:"rollout" format:"uuid" doc:"The rollout"`
}

type modelRolloutGet struct {
	ModelPath
	RolloutGet

	AtRevision int64 `query:"at_revision" minimum:"0" doc:"The answer as it was right after this revision of the model"`
}

func (s *server) rollouts(api huma.API) {
	const all = "/api/v1/models/{model_id}/rollouts"
	handle(s, api, operation("list-rollouts", http.MethodGet, all, "List a model's rollouts, the newest first, each with its last shift and verdict", "rollouts"),
		func(ctx context.Context, in *rolloutList) (*list[readmodel.Rollout], error) {
			return s.listRollouts(ctx, in.id(), in.RolloutFilter, in.AtRevision)
		})
	handle(s, api, operation("get-rollout", http.MethodGet, all+"/{rollout}", "Get a rollout with all its shifts and verdicts", "rollouts"),
		func(ctx context.Context, in *modelRolloutGet) (*item[readmodel.Rollout], error) {
			return s.getRollout(ctx, in.id(), in.RolloutGet, in.AtRevision)
		})
	handle(s, api, operation("list-all-rollouts", http.MethodGet, "/api/v1/rollouts", "List rollouts of all models, the newest first", "rollouts"),
		func(ctx context.Context, in *RolloutFilter) (*list[readmodel.Rollout], error) {
			return s.listRollouts(ctx, "", *in, 0)
		})
	handle(s, api, operation("get-any-rollout", http.MethodGet, "/api/v1/rollouts/{rollout}", "Get a rollout by its id alone", "rollouts"),
		func(ctx context.Context, in *RolloutGet) (*item[readmodel.Rollout], error) {
			return s.getRollout(ctx, "", *in, 0)
		})
}

func (s *server) listRollouts(ctx context.Context, model domain.ModelID, in RolloutFilter, atRevision int64) (*list[readmodel.Rollout], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.RolloutsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, model, ModelMoment{in.Moment, atRevision}, readmodel.RolloutsName)
	if err != nil {
		return nil, err
	}
	filter := readmodel.RolloutFilter{
		ModelID: model, Target: domain.Target(in.Target), State: readmodel.RolloutState(in.State), AsOf: asOf,
	}
	found, err := s.Reader.ListRollouts(ctx, callerOf(ctx).Tenant, filter, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, model, asOf, len(found.Items))
}

func (s *server) getRollout(ctx context.Context, model domain.ModelID, in RolloutGet, atRevision int64) (*item[readmodel.Rollout], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.RolloutsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, model, ModelMoment{in.Moment, atRevision}, readmodel.RolloutsName)
	if err != nil {
		return nil, err
	}
	rollout, err := s.Reader.GetRollout(ctx, callerOf(ctx).Tenant, domain.RolloutID(in.Rollout), asOf)
	if err == nil && model != "" && rollout.ModelID != model {
		err = &domain.NotFound{Kind: "rollout", ID: in.Rollout + " of model " + string(model)}
	}
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Rollout]{Position: seen(asOf, rollout.Position), Body: rollout}, nil
}
