package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"phantom/domain"
	"phantom/eventstore"
)

// The life of each model that projections are measured by: twenty events, of which the catalogue wants seven and the
// trainings sixteen.
const (
	lifeEvents = 20
	lifeEpochs = 12
	together   = 50 // models whose lives are interleaved
)

// live appends the lives of so many models to a tenant's log.
func (w *world) live(ctx context.Context, to string, models int) error {
	for first := 0; first < models; first += together {
		lives := make([]*life, 0, together)
		for n := first; n < min(first+together, models); n++ {
			lives = append(lives, newLife(n))
		}
		for chapter := range lives[0].chapters() {
			appends := make([]eventstore.Append, len(lives))
			for i, l := range lives {
				var err error
				if appends[i], err = l.chapters()[chapter].encoded(); err != nil {
					return err
				}
			}
			if _, err := w.store.Append(ctx, to, eventstore.Lifecycle, appends, nil); err != nil {
				return fmt.Errorf("write the lives of models: %w", err)
			}
		}
	}
	return nil
}

// life is one model with one training.
type life struct {
	model domain.ModelID
	job   domain.JobID
}

func newLife(n int) *life {
	return &life{model: domain.ModelID(fmt.Sprintf("model-%06d", n)), job: domain.JobID(uuid.NewString())}
}

// chapter is what happens to one stream before another one goes on.
type chapter struct {
	stream domain.StreamID
	events []domain.Event
}

func (l *life) chapters() []chapter {
	metrics := map[string]float64{"accuracy": 0.97312, "precision": 0.9702, "recall": 0.9688, "f1": 0.9695, "loss": 0.087413}
	artifact := domain.Digest("sha256:" + fmt.Sprintf("%064x", len(l.model)))
	text := "digits of the model " + string(l.model)
	team := "vision"
	epochs := make([]domain.Event, lifeEpochs)
	for i := range epochs {
		epochs[i] = domain.TrainingProgressUpdated{
			Epoch: i + 1, Step: int64(i+1) * 100, ProgressPercentage: 100 * float64(i+1) / lifeEpochs,
			Metrics: map[string]float64{"accuracy": 0.9 + float64(i)/1000, "loss": 1 / float64(i+2)},
		}
	}
	model, training := domain.ModelStream(l.model), domain.TrainingStream(l.model, l.job)
	return []chapter{
		{model, []domain.Event{
			domain.ModelCreated{
				Name: "Digits", ModelType: "classification", Algorithm: "mlp", InitialConfig: json.RawMessage(`{"hidden":[128,128]}`),
				Description: "handwritten digits", Tags: map[string]string{"team": "text", "stage": "trial"},
			},
			domain.ModelMetadataUpdated{Description: &text},
			domain.ModelMetadataUpdated{Tags: map[string]*string{"team": &team}},
			domain.ModelConfigurationUpdated{NewConfig: json.RawMessage(`{"hidden":[256,128]}`), ChangeReason: "wider"},
			domain.TrainingStarted{TrainingJobID: l.job, DatasetInfo: []domain.DatasetInfo{{URI: "examples/digits/digits.csv", Label: "label"}}},
		}},
		{training, epochs},
		{model, []domain.Event{
			domain.TrainingCompleted{TrainingJobID: l.job, FinalMetrics: metrics, ArtifactsLocation: artifact, TrainingDurationMS: 20_000},
		}},
		{training, []domain.Event{domain.CandidateEvaluated{Metrics: metrics, Rows: 360, Passed: true}}},
		{model, []domain.Event{
			domain.ModelVersionCreated{Version: "1", ArtifactsLocation: artifact, PerformanceMetrics: metrics, TrainingJobID: l.job},
		}},
	}
}

func (c chapter) encoded() (eventstore.Append, error) {
	to := eventstore.Append{Stream: eventstore.Stream{Type: string(c.stream.Type), ID: c.stream.ID}}
	for _, e := range c.events {
		one, err := encoded(e)
		if err != nil {
			return to, err
		}
		to.Events = append(to.Events, one)
	}
	return to, nil
}

// encoded is an event as the registry stores it.
func encoded(e domain.Event) (eventstore.NewEvent, error) {
	kind, version, data, err := domain.Encode(e)
	return eventstore.NewEvent{
		ID: uuid.New(), Type: kind, Version: version, Data: data, Metadata: []byte(metadataText), OccurredAt: time.Now(),
		CorrelationID: correlation,
	}, err
}
