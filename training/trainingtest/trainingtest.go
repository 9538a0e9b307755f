// Package trainingtest is the one suite that every training.Trainer passes.
//
// What it checks: the promises of the training.Trainer contract that no backend may weaken: a job is found
// by its key, each point is told once and in order, an end that was reported is an end, unknown is told as
// unknown, and a bad spec is refused with the field.
//
// What it does not: how a backend survives kill -9, and what it computes; that is each backend's own test.
package trainingtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
)

// Backend is what the suite runs on: trainers that share one state, and specs with their data in Store.
type Backend struct {
	Store *artifact.Store
	// Open makes another trainer over the same state, as a restarted worker does; close ends it and leaves
	// its jobs to be resumed.
	Open func(t *testing.T) (trainer training.Trainer, closeTrainer func())
	// Quick ends by itself within seconds; Long within no test's time, and has more than ten epochs a second.
	Quick, Long training.Spec
	// Broken can never run, because of the field BrokenField.
	Broken      training.Spec
	BrokenField string
	// Deterministic backends give the same artifact for the same spec.
	Deterministic bool
}

// patience bounds every wait of the suite; it is far above what a busy machine needs.
const patience = 2 * time.Minute

// Run runs the suite; each test gets a backend with a state of its own.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Backend){
		"a job runs to its end":                   runsToItsEnd,
		"every point is told once":                tellsEachPointOnce,
		"the same key is the same job":            sameKeySameJob,
		"a key with another spec is refused":      otherSpecRefused,
		"an unknown job is unknown":               unknownIsUnknown,
		"a bad spec names its field":              badSpecNamesField,
		"stop ends a job that resumes":            stopEndsAndResumes,
		"kill ends a job that resumes":            killEndsAndResumes,
		"a checkpoint is made on demand":          checkpointsOnDemand,
		"orders to an ended job change nothing":   ordersAfterTheEnd,
		"a restarted worker finds its job":        restartFindsJob,
		"a job that ended is collected elsewhere": collectedElsewhere,
		"what is forgotten is unknown":            forgottenIsUnknown,
		"a job that runs is not collected":        runningIsNotCollected,
		"the artifact depends on the spec alone":  artifactDependsOnSpec,
		"observe returns when its context ends":   observeReturns,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func start(t *testing.T, b Backend) training.Trainer {
	t.Helper()
	trainer, closeTrainer := b.Open(t)
	t.Cleanup(closeTrainer)
	return trainer
}

func submit(t *testing.T, trainer training.Trainer, key string, spec training.Spec) training.Handle {
	t.Helper()
	h, err := trainer.Submit(t.Context(), key, spec)
	require.NoError(t, err)
	return h
}

// follow observes from a cursor until the observation satisfies enough, and joins what was told.
func follow(
	t *testing.T, trainer training.Trainer, h training.Handle, from training.Cursor, enough func(training.Observation) bool,
) training.Observation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all training.Observation
	for {
		seen, err := trainer.Observe(ctx, h, from)
		require.NoError(t, err)
		from = seen.Cursor
		seen.Points, seen.Logs = slices.Concat(all.Points, seen.Points), slices.Concat(all.Logs, seen.Logs)
		all = seen
		if enough(all) {
			return all
		}
		require.NoError(t, ctx.Err(), "nothing came of job %s: %+v", h, all)
	}
}

func ended(o training.Observation) bool {
	return o.State == training.Succeeded || o.State == training.Failed || o.State == training.Stopped
}

// begun is true when a job has shown that it learns and has something to lose.
func begun(o training.Observation) bool { return len(o.Points) >= 2 && o.Checkpoint >= 1 || ended(o) }

func runsToItsEnd(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Quick)
	end := follow(t, trainer, h, training.Cursor{}, ended)
	require.Equal(t, training.Succeeded, end.State, end.Failure)
	require.NotEmpty(t, end.Points)
	require.NotEmpty(t, end.Logs)

	outcome, err := trainer.Collect(t.Context(), h)
	require.NoError(t, err)
	require.True(t, outcome.Artifact.Valid())
	there, err := b.Store.Exists(t.Context(), outcome.Artifact)
	require.NoError(t, err)
	require.True(t, there)
	require.Equal(t, end.Points[len(end.Points)-1].Metrics, outcome.Metrics)
	require.NotEmpty(t, outcome.Signature.Inputs)
	require.NotEmpty(t, outcome.Signature.Outputs)
	require.Contains(t, outcome.Evaluation.Metrics, "accuracy")
	require.Positive(t, outcome.Rows)
	require.NotEmpty(t, outcome.CodeDigest)

	again, err := trainer.Collect(t.Context(), h)
	require.NoError(t, err)
	require.Equal(t, outcome, again)
}

func tellsEachPointOnce(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Quick)
	end := follow(t, trainer, h, training.Cursor{}, ended)
	require.Len(t, end.Points, end.Epochs)
	for i, p := range end.Points {
		require.Equal(t, i+1, p.Epoch)
		require.NotEmpty(t, p.Metrics)
		require.True(t, i == 0 || p.Step > end.Points[i-1].Step)
	}
	nothing, err := trainer.Observe(t.Context(), h, end.Cursor)
	require.NoError(t, err)
	require.Empty(t, nothing.Points)
	require.Empty(t, nothing.Logs)
	require.Equal(t, end.Cursor, nothing.Cursor)
	tail, err := trainer.Observe(t.Context(), h, training.Cursor{Point: end.Epochs - 1, Log: end.Cursor.Log})
	require.NoError(t, err)
	require.Equal(t, end.Points[end.Epochs-1:], tail.Points)
}

func sameKeySameJob(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	seen := follow(t, trainer, h, training.Cursor{}, begun)
	require.Equal(t, h, submit(t, trainer, "job", b.Long))
	after := follow(t, trainer, h, seen.Cursor, func(o training.Observation) bool { return len(o.Points) > 0 || ended(o) })
	require.Equal(t, training.Running, after.State)
	require.Equal(t, len(seen.Points)+1, after.Points[0].Epoch, "it went on, it did not begin again")
}

func otherSpecRefused(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	_, err := trainer.Submit(t.Context(), "job", b.Quick)
	require.ErrorIs(t, err, training.ErrInvalidSpec)
	seen, err := trainer.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, training.Running, seen.State)
}

func unknownIsUnknown(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	cursor := training.Cursor{Point: 3, Log: 4}
	seen, err := trainer.Observe(t.Context(), "never submitted", cursor)
	require.NoError(t, err)
	require.Equal(t, training.Observation{State: training.Unknown, Cursor: cursor}, seen)
	for _, order := range []training.Order{training.Stop, training.Kill} {
		require.NoError(t, trainer.Signal(t.Context(), "never submitted", order), "nothing of it runs")
	}
	require.NoError(t, trainer.Forget(t.Context(), "never submitted"))
	_, err = trainer.Collect(t.Context(), "never submitted")
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func badSpecNamesField(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	_, err := trainer.Submit(t.Context(), "job", b.Broken)
	require.ErrorIs(t, err, training.ErrInvalidSpec)
	var bad *domain.InvalidInput
	require.ErrorAs(t, err, &bad)
	require.Equal(t, b.BrokenField, bad.Field)
	seen, err := trainer.Observe(t.Context(), "job", training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, training.Unknown, seen.State, "a refused job leaves nothing behind")
}

func stopEndsAndResumes(t *testing.T, b Backend) {
	t.Helper()
	endsAndResumes(t, b, training.Stop)
}

func killEndsAndResumes(t *testing.T, b Backend) {
	t.Helper()
	endsAndResumes(t, b, training.Kill)
}

func endsAndResumes(t *testing.T, b Backend, order training.Order) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	before := follow(t, trainer, h, training.Cursor{}, begun)
	require.NoError(t, trainer.Signal(t.Context(), h, order))
	end, err := trainer.Observe(t.Context(), h, before.Cursor)
	require.NoError(t, err)
	require.Equal(t, training.Stopped, end.State, "the order returned, so the job runs no more")
	still, err := trainer.Observe(t.Context(), h, end.Cursor)
	require.NoError(t, err)
	require.Empty(t, still.Points)

	submit(t, trainer, "job", b.Long)
	after := follow(t, trainer, h, end.Cursor, func(o training.Observation) bool { return len(o.Points) > 0 || ended(o) })
	require.Equal(t, training.Running, after.State)
	require.Equal(t, end.Cursor.Point+1, after.Points[0].Epoch)
}

func checkpointsOnDemand(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	follow(t, trainer, h, training.Cursor{}, begun)
	require.NoError(t, trainer.Signal(t.Context(), h, training.Checkpoint))
	seen, err := trainer.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, training.Running, seen.State, "it goes on")
	require.Positive(t, seen.Checkpoint)
}

func ordersAfterTheEnd(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Quick)
	end := follow(t, trainer, h, training.Cursor{}, ended)
	for _, order := range []training.Order{training.Checkpoint, training.Stop, training.Kill} {
		require.NoError(t, trainer.Signal(t.Context(), h, order))
	}
	submit(t, trainer, "job", b.Quick)
	after := follow(t, trainer, h, end.Cursor, ended)
	require.Equal(t, training.Succeeded, after.State)
	require.Empty(t, after.Points)
	require.ErrorIs(t, trainer.Signal(t.Context(), h, "explode"), training.ErrInvalidSpec)
}

func restartFindsJob(t *testing.T, b Backend) {
	t.Helper()
	first, closeFirst := b.Open(t)
	h := submit(t, first, "job", b.Long)
	before := follow(t, first, h, training.Cursor{}, begun)
	closeFirst()

	second := start(t, b)
	require.Equal(t, h, submit(t, second, "job", b.Long))
	after := follow(t, second, h, before.Cursor, func(o training.Observation) bool { return len(o.Points) > 0 || ended(o) })
	require.Equal(t, training.Running, after.State)
	require.Equal(t, len(before.Points)+1, after.Points[0].Epoch, "the cursor of the first worker holds for the second")
}

func collectedElsewhere(t *testing.T, b Backend) {
	t.Helper()
	first, closeFirst := b.Open(t)
	h := submit(t, first, "job", b.Quick)
	end := follow(t, first, h, training.Cursor{}, ended)
	want, err := first.Collect(t.Context(), h)
	require.NoError(t, err)
	closeFirst()

	second := start(t, b)
	seen, err := second.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, end, seen)
	got, err := second.Collect(t.Context(), h)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func forgottenIsUnknown(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	follow(t, trainer, h, training.Cursor{}, begun)
	require.NoError(t, trainer.Forget(t.Context(), h), "a job that runs is ended first")
	require.NoError(t, trainer.Forget(t.Context(), h))
	seen, err := trainer.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	require.Equal(t, training.Unknown, seen.State)

	submit(t, trainer, "job", b.Long)
	anew := follow(t, trainer, h, training.Cursor{}, func(o training.Observation) bool { return len(o.Points) > 0 || ended(o) })
	require.Equal(t, 1, anew.Points[0].Epoch, "nothing was left to resume from")
}

func runningIsNotCollected(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	_, err := trainer.Collect(t.Context(), h)
	require.Error(t, err)
}

func artifactDependsOnSpec(t *testing.T, b Backend) {
	t.Helper()
	if !b.Deterministic {
		return // nothing is promised
	}
	trainer := start(t, b)
	var artifacts []domain.Digest
	for _, key := range []string{"one", "two"} {
		h := submit(t, trainer, key, b.Quick)
		end := follow(t, trainer, h, training.Cursor{}, ended)
		require.Equal(t, training.Succeeded, end.State, end.Failure)
		outcome, err := trainer.Collect(t.Context(), h)
		require.NoError(t, err)
		artifacts = append(artifacts, outcome.Artifact)
	}
	require.Equal(t, artifacts[0], artifacts[1])
}

func observeReturns(t *testing.T, b Backend) {
	t.Helper()
	trainer := start(t, b)
	h := submit(t, trainer, "job", b.Long)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	seen, err := trainer.Observe(gone, h, training.Cursor{Point: 1 << 30, Log: 1 << 30})
	require.NoError(t, err)
	require.Equal(t, training.Running, seen.State)
	require.Empty(t, seen.Points)
}
