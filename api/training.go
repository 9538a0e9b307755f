package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	enums "go.temporal.io/api/enums/v1"

	"phantom/access"
	"phantom/domain"
	"phantom/readmodel"
	"phantom/workflows"
)

// JobPath is the part of a path that names a training job.
type JobPath struct {
	Job string `path:"job" format:"uuid" doc:"The training job"`
}

// TrainingFilter are the query parameters of a list of trainings.
type TrainingFilter struct {
	Paging
	Freshness
	Moment

	State string `query:"state" enum:"running,completed,failed,cancelled"`
}

type trainingList struct {
	ModelPath
	TrainingFilter

	AtRevision int64 `query:"at_revision" minimum:"0" doc:"The answer as it was right after this revision of the model"`
}

// TrainingGet asks for a training.
type TrainingGet struct {
	JobPath
	Freshness
	Moment
}

type modelTrainingGet struct {
	ModelPath
	TrainingGet

	AtRevision int64 `query:"at_revision" minimum:"0" doc:"The answer as it was right after this revision of the model"`
}

type trainingMetrics struct {
	ModelPath
	JobPath
	Freshness

	MaxPoints int `query:"max_points" minimum:"0" doc:"Longer curves are thinned to so many points, both ends and what stands out kept (Largest-Triangle-Three-Buckets); 0 gives all"`
}

type trainingStart struct {
	ModelPath
	WriteHeaders

	Body json.RawMessage
}

func (s *server) trainings(api huma.API) {
	const all, one = "/api/v1/models/{model_id}/trainings", "/api/v1/models/{model_id}/trainings/{job}"
	start := operation("start-training", http.MethodPost, all, "Train: starts a TrainModel saga", "trainings")
	start.DefaultStatus = http.StatusAccepted
	handle(s, api, start, s.startTraining)
	describeBody[workflows.TrainModelInput](api, start)
	handle(s, api, operation("list-trainings", http.MethodGet, all, "List a model's trainings, the newest first", "trainings"),
		func(ctx context.Context, in *trainingList) (*list[readmodel.Training], error) {
			return s.listTrainings(ctx, in.id(), in.TrainingFilter, in.AtRevision)
		})
	handle(s, api, operation("get-training", http.MethodGet, one, "Get a training", "trainings"),
		func(ctx context.Context, in *modelTrainingGet) (*item[readmodel.Training], error) {
			return s.getTraining(ctx, in.id(), in.TrainingGet, in.AtRevision)
		})
	handle(s, api, operation("get-training-metrics", http.MethodGet, one+"/metrics", "The curves of a training's metrics, by name", "trainings"), s.trainingMetrics)
	handle(s, api, operation("list-all-trainings", http.MethodGet, "/api/v1/trainings", "List trainings of all models, the newest first", "trainings"),
		func(ctx context.Context, in *TrainingFilter) (*list[readmodel.Training], error) {
			return s.listTrainings(ctx, "", *in, 0)
		})
	handle(s, api, operation("get-any-training", http.MethodGet, "/api/v1/trainings/{job}", "Get a training by its id alone", "trainings"),
		func(ctx context.Context, in *TrainingGet) (*item[readmodel.Training], error) {
			return s.getTraining(ctx, "", *in, 0)
		})
	s.trainingLogs(api)
}

func (s *server) listTrainings(ctx context.Context, model domain.ModelID, in TrainingFilter, atRevision int64) (*list[readmodel.Training], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.TrainingsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, model, ModelMoment{in.Moment, atRevision}, readmodel.TrainingsName)
	if err != nil {
		return nil, err
	}
	filter := readmodel.TrainingFilter{ModelID: model, State: readmodel.TrainingState(in.State), AsOf: asOf}
	found, err := s.Reader.ListTrainings(ctx, callerOf(ctx).Tenant, filter, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, model, asOf, len(found.Items))
}

func (s *server) getTraining(ctx context.Context, model domain.ModelID, in TrainingGet, atRevision int64) (*item[readmodel.Training], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.TrainingsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, model, ModelMoment{in.Moment, atRevision}, readmodel.TrainingsName)
	if err != nil {
		return nil, err
	}
	training, err := s.trainingOf(ctx, model, domain.JobID(in.Job), asOf)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Training]{Position: seen(asOf, training.Position), Body: training}, nil
}

// trainingOf finds a job; with a model, only one of that model.
func (s *server) trainingOf(ctx context.Context, model domain.ModelID, job domain.JobID, asOf int64) (readmodel.Training, error) {
	training, err := s.Reader.GetTraining(ctx, callerOf(ctx).Tenant, job, asOf)
	if err == nil && model != "" && training.ModelID != model {
		err = &domain.NotFound{Kind: "training", ID: string(job) + " of model " + string(model)}
	}
	return training, err
}

func (s *server) trainingMetrics(ctx context.Context, in *trainingMetrics) (*list[readmodel.Curve], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.TrainingsName); err != nil {
		return nil, err
	}
	if in.MaxPoints == 1 {
		return nil, param("max_points", "must be at least 2, or 0 for all")
	}
	training, err := s.trainingOf(ctx, in.id(), domain.JobID(in.Job), 0)
	if err != nil {
		return nil, err
	}
	curves, err := s.Reader.TrainingCurves(ctx, callerOf(ctx).Tenant, training.TrainingJobID, in.MaxPoints)
	if err != nil {
		return nil, err
	}
	return pageOf(readmodel.Page[readmodel.Curve]{Items: curves, Position: training.Position}), nil
}

func (s *server) startTraining(ctx context.Context, in *trainingStart) (*accepted, error) {
	input, err := parseInput(ctx, in.id(), in.Body, workflows.ParseTrainModel)
	if err != nil {
		return nil, err
	}
	if input.Deploy != nil {
		if err := s.permit(ctx, access.Deployer, "start-training with deploy"); err != nil {
			return nil, err
		}
	}
	if input.Deploy != nil && !s.serves(input.Deploy.Target) {
		return nil, &domain.InvalidInput{Field: "deploy.target", Reason: s.noTarget(input.Deploy.Target)}
	}
	return s.begin(ctx, in.WriteHeaders, sagaStart{
		kind: workflows.KindTrainModel, prefix: "train", key: cmp.Or(in.IdempotencyKey, newKey()), model: in.id(), input: input,
		reuse:   enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		summary: fmt.Sprintf("train %s (%s)", in.id(), input.Algorithm),
		details: fmt.Sprintf("%s on `%s`, seed %d, asked for by %s over HTTP", input.Algorithm, strings.ReplaceAll(input.Data.Train.URI, "`", "'"), *input.Seed, callerOf(ctx).Actor.Subject),
		admit: func(m domain.Model) error {
			if !m.Exists() && input.Create != nil {
				return nil
			}
			if err := active(m, in.id()); err != nil {
				return err
			}
			if running := m.ActiveTrainings(); len(running) > 0 && input.Concurrency == workflows.ConcurrencyForbid {
				return &domain.InvalidState{
					Reason:  fmt.Sprintf("job %s of model %s runs already", running[0], in.id()),
					Current: string(domain.StatusTraining), Allowed: []string{`concurrency "queue"`, `concurrency "allow"`},
				}
			}
			return nil
		},
	})
}
