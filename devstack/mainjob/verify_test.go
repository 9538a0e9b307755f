package mainjob_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/devstack/mainjob"
	"phantom/training"
)

const (
	jobStarted   = `{"training_job_id":"j"}`
	versionTwo   = `{"training_job_id":"j","version":"2","artifacts_location":"sha256:aa"}`
	rolloutFacts = `{"rollout_id":"r","version":"2"}`
)

func trainingLog() mainjob.Events {
	return mainjob.Events{
		mainjob.Event(1, "digits", "TrainingStarted", jobStarted),
		mainjob.Event(2, "digits/j", "TrainingProgressUpdated", `{"epoch":1}`),
		mainjob.Event(3, "digits/j", "TrainingProgressUpdated", `{"epoch":2}`),
		mainjob.Event(4, "digits", "TrainingCompleted", jobStarted),
		mainjob.Event(5, "digits", "ModelVersionCreated", versionTwo),
	}
}

func TestAReportedTrainingMustStandInTheLogOnce(t *testing.T) {
	t.Parallel()
	report := mainjob.TrainingReport{ModelID: "digits", TrainingJobID: "j", Version: "2", ArtifactsLocation: "sha256:aa", Position: 5}
	require.NoError(t, mainjob.VerifyTraining(trainingLog(), report))
	for name, spoil := range map[string]func(mainjob.Events) mainjob.Events{
		"a doubled start": func(l mainjob.Events) mainjob.Events { return append(l, l[0]) },
		"no completion":   func(l mainjob.Events) mainjob.Events { return slices.Delete(l, 3, 4) },
		"a skipped epoch": func(l mainjob.Events) mainjob.Events { return slices.Delete(l, 1, 2) },
		"a doubled epoch": func(l mainjob.Events) mainjob.Events { return slices.Insert(l, 2, l[1]) },
		"no epoch":        func(l mainjob.Events) mainjob.Events { return slices.Delete(l, 1, 3) },
		"another artifact": func(l mainjob.Events) mainjob.Events {
			l[4].EventData = []byte(`{"training_job_id":"j","version":"2","artifacts_location":"sha256:bb"}`)
			return l
		},
		"another position":  func(l mainjob.Events) mainjob.Events { l[4].Position = 6; return l },
		"a doubled version": func(l mainjob.Events) mainjob.Events { return append(l, l[4]) },
	} {
		require.Error(t, mainjob.VerifyTraining(spoil(trainingLog()), report), name)
	}
}

func TestAReportedDeploymentMustStandInTheLogOnce(t *testing.T) {
	t.Parallel()
	started := mainjob.Event(1, "digits", "RolloutStarted", rolloutFacts)
	promoted, deployed := mainjob.Event(2, "digits", "RolloutPromoted", rolloutFacts), mainjob.Event(3, "digits", "ModelDeployed", rolloutFacts)
	rolledBack := mainjob.Event(2, "digits", "RolloutRolledBack", rolloutFacts)
	up := mainjob.DeploymentReport{RolloutID: "r", Version: "2", Outcome: "promoted"}
	down := mainjob.DeploymentReport{RolloutID: "r", Version: "2", Outcome: "rolled_back"}
	require.NoError(t, mainjob.VerifyDeployment(mainjob.Events{started, promoted, deployed}, up))
	require.NoError(t, mainjob.VerifyDeployment(mainjob.Events{started, rolledBack}, down))
	require.Error(t, mainjob.VerifyDeployment(mainjob.Events{started, rolledBack}, up))
	require.Error(t, mainjob.VerifyDeployment(mainjob.Events{started, promoted, deployed}, down))
	require.Error(t, mainjob.VerifyDeployment(mainjob.Events{started, promoted, deployed, deployed}, up))
	up.Version = "3"
	require.Error(t, mainjob.VerifyDeployment(mainjob.Events{started, promoted, deployed}, up))
}

func TestTransposedTwiceIsTheSameData(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../examples/digits/digits.csv")
	require.NoError(t, err)
	once, err := mainjob.Transpose(raw)
	require.NoError(t, err)
	twice, err := mainjob.Transpose(once)
	require.NoError(t, err)
	require.Equal(t, bytes.TrimSpace(raw), bytes.TrimSpace(twice))

	upright, err := training.Parse(raw, "label")
	require.NoError(t, err)
	turned, err := training.Parse(once, "label")
	require.NoError(t, err)
	require.Equal(t, upright.Labels, turned.Labels)
	for y := range 8 {
		for x := range 8 {
			require.InDelta(t, upright.Rows[0][y*8+x], turned.Rows[0][x*8+y], 0)
		}
	}
	require.NotEqual(t, upright.Rows, turned.Rows)
}
