package main_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	main "phantom/starter"
)

// story is what the pages tell of: the same events at the same positions.
func (h *house) story() {
	const digits domain.ModelID = "digits"
	vision := map[string]string{"team": "vision", "stage": "pilot"}
	h.records(
		domain.CreateModel{ModelID: digits, Name: "Handwritten digits", ModelType: "classification", Algorithm: "mlp", Tags: vision},
		domain.CreateModel{ModelID: "letters", Name: "Handwritten letters", ModelType: "classification", Algorithm: "mlp", Tags: vision},
		domain.CreateModel{ModelID: "churn", Name: "Customer churn", ModelType: "classification", Algorithm: "logistic_regression"},
	)
	for version, epochs := range []int{3, 6} {
		job, rollout := domain.JobID(uuid.NewString()), domain.RolloutID(uuid.NewString())
		candidate := domain.Subject{TrainingJobID: job}
		bob := domain.Actor{Subject: "bob", Auth: domain.AuthLocal}
		h.records(domain.StartTraining{
			ModelID: digits, TrainingJobID: job, TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
			DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv"}},
		})
		for epoch := range epochs {
			h.records(domain.RecordTrainingProgress{ModelID: digits, TrainingJobID: job, Epoch: epoch + 1, ProgressPercentage: float64(100 * (epoch + 1) / epochs)})
		}
		digest := domain.Digest("sha256:" + strings.Repeat("a", 64))
		h.records(
			domain.CompleteTraining{ModelID: digits, TrainingJobID: job, ArtifactsLocation: digest},
			domain.EvaluateCandidate{ModelID: digits, TrainingJobID: job, Metrics: map[string]float64{"accuracy": 0.97}, Rows: 403},
		)
		if version == 0 {
			h.records(
				domain.RequestApproval{ModelID: digits, Subject: candidate, RequestedBy: bob, ExpiresAt: time.Now().Add(time.Hour)},
				domain.DecideApproval{ModelID: digits, Subject: candidate, By: bob, Decision: domain.Approved, Note: "good enough for the pilot"},
			)
		}
		number := domain.Version([]string{"1", "2"}[version])
		h.records(
			domain.CreateModelVersion{ModelID: digits, TrainingJobID: job, ArtifactsLocation: digest},
			domain.StartRollout{ModelID: digits, RolloutID: rollout, Version: number, Target: "local"},
		)
		if version == 1 {
			h.records(
				domain.ShiftTraffic{ModelID: digits, RolloutID: rollout, Weights: domain.Traffic{"1": 90, "2": 10}},
				domain.AssessRollout{ModelID: digits, RolloutID: rollout, Step: 1, Verdict: domain.VerdictInconclusive},
			)
		}
		h.records(
			domain.PromoteRollout{ModelID: digits, RolloutID: rollout, Reason: "by bob"},
			domain.AssignAlias{ModelID: digits, Alias: "champion", Version: domain.VersionRef(number)},
		)
	}
}

// Every command that a page shows with what it prints is taken, and prints something that begins alike.
func TestThePagesShowWhatThereIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story()
	then := time.Now().UTC().Format(time.RFC3339Nano)
	ran := 0
	for _, page := range []string{"search", "history", "events"} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		require.NoError(t, err)
		lines := strings.Split(strings.ReplaceAll(string(text), "2026-11-27T20:57:30Z", then), "\n")
		for i, line := range lines {
			typed, is := strings.CutPrefix(line, "$ phantom ")
			typed, _, _ = strings.Cut(typed, " | ")
			if !is {
				continue
			}
			out := h.types(t, strings.Fields(typed))
			if shown := strings.Fields(lines[i+1]); !strings.Contains(line, " | ") {
				require.Equal(t, shown[0], strings.Fields(out)[0], "%s: %s", page, line)
			}
			ran++
		}
	}
	require.Equal(t, 10, ran)
}

// types runs a command; one that follows is left when it has printed something.
func (h *house) types(t *testing.T, args []string) string {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	out, errs := lines{enough: 1000, leave: leave}, bytes.Buffer{}
	if args[0] == "tail" {
		out.enough = 1
	}
	program := main.Program{Folder: t.TempDir(), Environ: []string{"PHANTOM_URL=" + h.url}, Out: &out, Errs: &errs, Now: time.Now()}
	require.Equal(t, 0, program.Run(ctx, args...), "%v: %s", args, errs.String())
	return out.String() + errs.String()
}
