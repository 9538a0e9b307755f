package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// ids are those of what a furnished house holds.
type ids struct{ job, rollout string }

// artifactOf is the digest of an artifact of a furnished house, whose bytes are the name.
func artifactOf(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

// keep stores bytes without the API; nobody owns them then.
func (h *house) keep(body string) string {
	h.t.Helper()
	stored, err := h.params.Artifacts.Put(h.t.Context(), strings.NewReader(body))
	require.NoError(h.t, err)
	return string(stored.Digest)
}

// furnish records a model with a training of three epochs, two versions, an alias and a first deployment.
func (h *house) furnish() ids {
	h.t.Helper()
	const model domain.ModelID = "digits"
	h.keep("a")
	h.keep("b")
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
		domain.AssignAlias{ModelID: model, Alias: "champion", Version: "1"},
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
