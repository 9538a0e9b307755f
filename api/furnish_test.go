package api_test

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"phantom/domain"
)

// ids are those of what a furnished house holds.
type ids struct{ job, rollout string }

func artifactOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// furnish records a model with a training of three epochs, two versions and a first deployment.
func (h *house) furnish() ids {
	h.t.Helper()
	const model domain.ModelID = "digits"
	job, rollout := domain.JobID(uuid.NewString()), domain.RolloutID(uuid.NewString())
	commands := []domain.Command{
		domain.CreateModel{ModelID: model, Name: "Digits", ModelType: "classification", Algorithm: "mlp"},
		domain.StartTraining{
			ModelID: model, TrainingJobID: job, DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv", Label: "label"}},
			TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Params: json.RawMessage(`{"epochs":3}`), Seed: 7},
		},
	}
	for epoch := 1; epoch <= 3; epoch++ {
		commands = append(commands, domain.RecordTrainingProgress{
			ModelID: model, TrainingJobID: job, Epoch: epoch, Step: int64(epoch), ProgressPercentage: float64(epoch) * 33,
			Metrics: map[string]float64{"loss": 1 / float64(epoch)},
		})
	}
	commands = append(commands,
		domain.CompleteTraining{
			ModelID: model, TrainingJobID: job, FinalMetrics: map[string]float64{"loss": 0.25},
			ArtifactsLocation: domain.Digest(artifactOf("a")), TrainingDurationMS: 1500,
		},
		domain.EvaluateCandidate{ModelID: model, TrainingJobID: job, Metrics: map[string]float64{"accuracy": 0.97}, Rows: 10},
		domain.CreateModelVersion{ModelID: model, TrainingJobID: job, ArtifactsLocation: domain.Digest(artifactOf("a"))},
		domain.CreateModelVersion{ModelID: model, ArtifactsLocation: domain.Digest(artifactOf("b"))},
		domain.StartRollout{ModelID: model, RolloutID: rollout, Version: "1", Target: "local"},
		domain.PromoteRollout{ModelID: model, RolloutID: rollout, Reason: "initial"},
	)
	var last domain.Result
	for _, cmd := range commands {
		last = h.handle(cmd)
	}
	h.settled(last)
	return ids{job: string(job), rollout: string(rollout)}
}
