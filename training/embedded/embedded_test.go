package embedded_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
	"phantom/training/embedded"
	"phantom/training/trainingtest"
)

func TestTrainer(t *testing.T) {
	t.Parallel()
	trainingtest.Run(t, func(t *testing.T) trainingtest.Backend {
		t.Helper()
		d, dir := newDigits(t), t.TempDir()
		return trainingtest.Backend{
			Store: d.store,
			Open: func(t *testing.T) (training.Trainer, func()) {
				t.Helper()
				trainer := d.trainer(t, dir)
				return trainer, func() { require.NoError(t, trainer.Close(context.WithoutCancel(t.Context()))) }
			},
			Quick:  d.spec("mlp", `{"epochs":4,"hidden":[16]}`),
			Long:   d.spec("mlp", `{"epochs":10000}`),
			Broken: d.spec("mlp", `{"epoch":4}`), BrokenField: "params.epoch",
			Deterministic: true,
		}
	})
}

func TestLearnsDigits(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	for _, c := range []struct {
		algorithm, params string
		atLeast           float64
	}{
		{"mlp", `{"hidden":[128],"epochs":30,"learning_rate":0.002,"weight_decay":1}`, 0.96},
		{"logistic_regression", `{"epochs":30}`, 0.93},
	} {
		h := submit(t, trainer, c.algorithm, d.spec(c.algorithm, c.params))
		outcome := collect(t, trainer, h)
		for _, metric := range []string{"accuracy", "precision", "recall", "f1"} {
			require.Greater(t, outcome.Evaluation.Metrics[metric], c.atLeast, "%s %s", c.algorithm, metric)
		}
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, outcome.Evaluation.Labels)
		require.Equal(t, int64(1797), outcome.Rows+outcome.Evaluation.Rows)
		require.Equal(t, training.Measure(outcome.Evaluation.ConfusionMatrix), outcome.Evaluation.Metrics)
		require.InDelta(t, outcome.Metrics["val_accuracy"], outcome.Evaluation.Metrics["accuracy"], 0.003,
			"folding the scaling in changes next to nothing")
		require.Equal(t, []int64{-1, 64}, outcome.Signature.Inputs[0].Shape)
		require.Equal(t, []int64{-1, 10}, outcome.Signature.Outputs[0].Shape)

		told := finish(t, trainer, h)
		first, last := told.Points[0].Metrics, told.Points[len(told.Points)-1].Metrics
		require.Less(t, last["loss"], first["loss"])
		require.Greater(t, last["accuracy"], first["accuracy"])
	}
}

func TestBundle(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	outcome := collect(t, trainer, submit(t, trainer, "job", d.spec("mlp", `{"epochs":2,"hidden":[8]}`)))
	files, err := d.store.GetBundle(t.Context(), outcome.Artifact)
	require.NoError(t, err)
	var names []string
	bodies := map[string][]byte{}
	for _, f := range files {
		names = append(names, f.Name)
		bodies[f.Name] = f.Body
	}
	require.Equal(t, []string{artifact.GoldenFile, artifact.LabelsFile, artifact.ModelFile, artifact.SignatureFile}, names)
	require.JSONEq(t, `["0","1","2","3","4","5","6","7","8","9"]`, string(bodies[artifact.LabelsFile]))
	require.JSONEq(t, `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,64]}],
		"outputs":[{"name":"probabilities","datatype":"FP32","shape":[-1,10]}]}`, string(bodies[artifact.SignatureFile]))
	var golden artifact.Golden
	require.NoError(t, json.Unmarshal(bodies[artifact.GoldenFile], &golden))
	require.Len(t, golden.Inputs, 8)
	require.Len(t, golden.Outputs, 8)
	require.Positive(t, golden.Tolerance)
	for _, row := range golden.Outputs {
		var sum float32
		for _, p := range row {
			sum += p
		}
		require.InDelta(t, 1, sum, 1e-5)
	}
}

func TestArtifactDependsOnSeedAndParams(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	base := d.spec("mlp", `{"epochs":2}`)
	same := d.spec("mlp", `{"learning_rate":1e-3,"epochs":2,"hidden":[64,32]}`) // the defaults, written out
	seeded := base
	seeded.Seed = 2
	want := collect(t, trainer, submit(t, trainer, "base", base)).Artifact
	require.Equal(t, want, collect(t, trainer, submit(t, trainer, "same", same)).Artifact)
	require.NotEqual(t, want, collect(t, trainer, submit(t, trainer, "seeded", seeded)).Artifact)
	more := d.spec("mlp", `{"epochs":3}`)
	require.NotEqual(t, want, collect(t, trainer, submit(t, trainer, "more", more)).Artifact)
}

func TestDivergenceFails(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	h := submit(t, trainer, "job", d.spec("mlp", `{"learning_rate":1e9}`))
	end := finish(t, trainer, h)
	require.Equal(t, training.Failed, end.State)
	require.Equal(t, "epoch 1: the training diverged: the loss or a gradient is no finite number; lower params.learning_rate", end.Failure)
	require.Empty(t, end.Points)
	require.Zero(t, end.Checkpoint, "a diverged state is not kept")
	_, err := trainer.Collect(t.Context(), h)
	require.ErrorIs(t, err, embedded.ErrNotDone)
}

func TestTwoProcessesNeverRunOneJob(t *testing.T) {
	t.Parallel()
	d, dir := newDigits(t), t.TempDir()
	first, second := d.trainer(t, dir), d.trainer(t, dir)
	spec := d.spec("mlp", `{"epochs":10000}`)
	h := submit(t, first, "job", spec)

	_, err := second.Submit(t.Context(), "job", spec)
	require.ErrorIs(t, err, embedded.ErrRunning)
	require.ErrorIs(t, second.Signal(t.Context(), h, training.Kill), embedded.ErrRunning, "it is not proven to be dead")
	require.ErrorIs(t, second.Forget(t.Context(), h), embedded.ErrRunning)
	seen, err := second.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, training.Unknown, seen.State)

	require.NoError(t, first.Signal(t.Context(), h, training.Stop))
	require.NoError(t, second.Signal(t.Context(), h, training.Kill))
	submit(t, second, "job", spec)
}

func TestClose(t *testing.T) {
	t.Parallel()
	d, dir := newDigits(t), t.TempDir()
	spec := d.spec("mlp", `{"epochs":10000}`)
	trainer := d.trainer(t, dir)
	var handles []training.Handle
	for _, key := range []string{"a", "b"} {
		handles = append(handles, submit(t, trainer, key, spec))
		until(t, trainer, handles[len(handles)-1], func(o training.Observation) bool { return o.Checkpoint > 0 })
	}
	require.NoError(t, trainer.Close(t.Context()))
	for _, h := range handles {
		seen, err := trainer.Observe(t.Context(), h, training.Cursor{})
		require.NoError(t, err)
		require.Equal(t, training.Stopped, seen.State)
		require.Positive(t, seen.Checkpoint)
	}
	_, err := trainer.Submit(t.Context(), "a", spec)
	require.ErrorIs(t, err, embedded.ErrClosed)
	_, err = trainer.Submit(t.Context(), "new", spec)
	require.ErrorIs(t, err, embedded.ErrClosed)
}

func TestMissingDataIsNoInvalidSpec(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	spec := d.spec("mlp", `{}`)
	spec.Train.Digest = domain.Digest("sha256:" + "00000000000000000000000000000000" + "00000000000000000000000000000000")
	_, err := d.trainer(t, t.TempDir()).Submit(t.Context(), "job", spec)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.NotErrorIs(t, err, training.ErrInvalidSpec)
}
