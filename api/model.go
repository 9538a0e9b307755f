package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

type modelCreate struct {
	WriteHeaders

	Body struct {
		ModelID         string            `json:"model_id" doc:"[a-z0-9][a-z0-9._-]{0,62}, unique in its tenant, never used again"`
		Name            string            `json:"name"`
		ModelType       string            `json:"model_type" doc:"classification, …"`
		Algorithm       string            `json:"algorithm" doc:"mlp, logistic_regression, …"`
		InitialConfig   json.RawMessage   `json:"initial_config,omitempty" doc:"An object"`
		Description     string            `json:"description,omitempty"`
		Tags            map[string]string `json:"tags,omitempty"`
		IntendedPurpose string            `json:"intended_purpose,omitempty"`
	}
}

type modelList struct {
	Paging
	Freshness
	Moment

	Status    string   `query:"status" enum:"created,trained,deployed,training,archived,deleted"`
	ModelType string   `query:"model_type"`
	Algorithm string   `query:"algorithm"`
	Tags      []string `query:"tag,explode" doc:"key=value; several must all hold"`
}

type modelGet struct {
	ModelPath
	Freshness
	ModelMoment
}

type modelPatch struct {
	ModelPath
	WriteHeaders

	Body struct {
		Description *string            `json:"description,omitempty"`
		Tags        map[string]*string `json:"tags,omitempty" doc:"What is named is set; null removes a tag"`
	}
}

type modelConfig struct {
	ModelPath
	WriteHeaders

	Body struct {
		NewConfig    json.RawMessage `json:"new_config" doc:"An object: it replaces the present one"`
		ChangeReason string          `json:"change_reason"`
	}
}

func (s *server) models(api huma.API) {
	create := operation("create-model", http.MethodPost, "/api/v1/models", "Create a model", "models")
	create.DefaultStatus = http.StatusCreated
	handle(s, api, create, s.createModel)
	handle(s, api, operation("list-models", http.MethodGet, "/api/v1/models", "List models, by id", "models"), s.listModels)
	handle(s, api, operation("get-model", http.MethodGet, "/api/v1/models/{model_id}", "Get a model, now or as it was", "models"), s.getModel)
	handle(s, api, operation("patch-model", http.MethodPatch, "/api/v1/models/{model_id}", "Change description and tags", "models"), s.patchModel)
	handle(s, api, operation("configure-model", http.MethodPut, "/api/v1/models/{model_id}/config", "Replace the configuration", "models"), s.configureModel)
}

func (s *server) createModel(ctx context.Context, in *modelCreate) (*item[readmodel.Model], error) {
	b := in.Body
	answer, err := s.command(ctx, in.WriteHeaders, domain.CreateModel{
		ModelID: domain.ModelID(b.ModelID), Name: b.Name, ModelType: b.ModelType, Algorithm: b.Algorithm, InitialConfig: b.InitialConfig,
		Description: b.Description, Tags: b.Tags, IntendedPurpose: b.IntendedPurpose,
	})
	if err == nil {
		answer.Location = "/api/v1/models/" + b.ModelID
	}
	return answer, err
}

func (s *server) patchModel(ctx context.Context, in *modelPatch) (*item[readmodel.Model], error) {
	return s.command(ctx, in.WriteHeaders, domain.UpdateModelMetadata{
		ModelID: in.id(), Description: in.Body.Description, Tags: in.Body.Tags,
	})
}

func (s *server) configureModel(ctx context.Context, in *modelConfig) (*item[readmodel.Model], error) {
	return s.command(ctx, in.WriteHeaders, domain.UpdateModelConfiguration{
		ModelID: in.id(), NewConfig: in.Body.NewConfig, ChangeReason: in.Body.ChangeReason,
	})
}

// command handles a command on a model and answers with the model after it.
func (s *server) command(ctx context.Context, h WriteHeaders, cmd domain.Command) (*item[readmodel.Model], error) {
	m, err := meta(ctx, h)
	if err != nil {
		return nil, err
	}
	tenant := callerOf(ctx).Tenant
	result, err := s.Registry.Handle(ctx, tenant, cmd, m)
	if err != nil {
		return nil, err
	}
	id := cmd.Writes().Model()
	model, err := s.modelAfter(ctx, id, result)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Model]{ETag: etag(model.Revision), Position: max(model.Position, result.Position), Body: model}, nil
}

// modelAfter is a model after a command. One whose whole history is the command's answers for itself; another is waited
// for.
func (s *server) modelAfter(ctx context.Context, id domain.ModelID, result domain.Result) (readmodel.Model, error) {
	if len(result.Events) > 0 && result.Revision == int64(len(result.Events)) {
		s.own.wrote(writerOf(ctx), result.Position)
		made := modelOf(id, result.Events)
		made.Counts.Inferences = new(int64)
		return made, nil
	}
	s.settle(ctx, result.Position, readmodel.CatalogueName)
	model, err := s.Reader.GetModel(ctx, callerOf(ctx).Tenant, id, 0)
	if err == nil && model.Revision >= result.Revision {
		return model, nil
	}
	history, err := s.Registry.Recorded(ctx, callerOf(ctx).Tenant, domain.ModelStream(id))
	if err != nil {
		return readmodel.Model{}, err
	}
	if len(history) == 0 {
		return readmodel.Model{}, &domain.NotFound{Kind: "model", ID: string(id)}
	}
	return modelOf(id, history), nil
}

// modelOf answers from the events, for a write that the catalogue does not show yet.
func modelOf(id domain.ModelID, history []domain.Recorded) readmodel.Model {
	var m domain.Model
	for _, recorded := range history {
		m.Evolve(recorded)
	}
	first, last := history[0], history[len(history)-1]
	answer := readmodel.Model{
		ModelID: id, Name: m.Name, ModelType: m.Type, Algorithm: m.Algorithm, Status: m.Status(),
		DeployedTargets: append([]domain.Target{}, m.DeployedTargets()...), ActiveTrainings: len(m.ActiveTrainings()),
		Metrics: map[string]float64{}, Tags: m.Tags, Description: m.Description, IntendedPurpose: m.IntendedPurpose, Config: m.Config,
		Counts:   readmodel.ModelCounts{Versions: int64(len(m.Versions)), Trainings: int64(len(m.Jobs))},
		Revision: m.Revision, CreatedAt: first.OccurredAt.UTC(), CreatedBy: first.Metadata.Actor, UpdatedAt: last.OccurredAt.UTC(),
		Position: last.Position,
	}
	if answer.Tags == nil {
		answer.Tags = map[string]string{}
	}
	if latest, ok := m.Version(m.LatestVersion()); ok {
		answer.CurrentVersion, answer.Metrics = &latest.Version, latest.PerformanceMetrics
	}
	return answer
}

func (s *server) listModels(ctx context.Context, in *modelList) (*list[readmodel.Model], error) {
	filter := readmodel.ModelFilter{Status: domain.Status(in.Status), ModelType: in.ModelType, Algorithm: in.Algorithm, Tags: map[string]string{}}
	for _, tag := range in.Tags {
		key, value, ok := strings.Cut(tag, "=")
		if !ok || key == "" {
			return nil, param("tag", "must be key=value")
		}
		if other, twice := filter.Tags[key]; twice && other != value {
			return nil, param("tag", "names "+key+" with two values; no model has both")
		}
		filter.Tags[key] = value
	}
	if err := s.fresh(ctx, in.Freshness, readmodel.CatalogueName); err != nil {
		return nil, err
	}
	var err error
	if filter.AsOf, err = s.position(ctx, in.Moment, readmodel.CatalogueName); err != nil {
		return nil, err
	}
	found, err := s.Reader.ListModels(ctx, callerOf(ctx).Tenant, filter, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), filter.AsOf), nil
}

// then is a list as of a position.
func then[T any](answer *list[T], asOf int64) *list[T] {
	answer.Position = seen(asOf, answer.Position)
	return answer
}

func (s *server) getModel(ctx context.Context, in *modelGet) (*item[readmodel.Model], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.CatalogueName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, in.id(), in.ModelMoment, readmodel.CatalogueName)
	if err != nil {
		return nil, err
	}
	model, err := s.Reader.GetModel(ctx, callerOf(ctx).Tenant, in.id(), asOf)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Model]{ETag: etag(model.Revision), Position: seen(asOf, model.Position), Body: model}, nil
}
