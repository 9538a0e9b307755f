package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
)

// The golden rows of a bundle: how many, and how far another runtime's probabilities may be off.
const (
	goldenRows      = 8
	goldenTolerance = 1e-4
)

// Collect implements training.Trainer. It works from the job's folder and the artifact store alone, so any
// process with both can do it. What is evaluated is the network as it is stored, scaling folded in.
func (t *Trainer) Collect(ctx context.Context, h training.Handle) (training.Outcome, error) {
	ticket, state, err := t.folder(h).load()
	if errors.Is(err, fs.ErrNotExist) {
		return training.Outcome{}, fmt.Errorf("collect %s: %w", h, &domain.NotFound{Kind: "training job", ID: string(h)})
	}
	if err != nil {
		return training.Outcome{}, fmt.Errorf("collect %s: %w", h, err)
	}
	task, err := prepare(ctx, t.store, ticket.Spec)
	if err != nil {
		return training.Outcome{}, fmt.Errorf("collect %s: %w", h, err)
	}
	model := fit(task.train.rows).fold(task.sizes, view(task.sizes, state.weights))
	files, err := bundle(model, task)
	if err != nil {
		return training.Outcome{}, fmt.Errorf("collect %s: %w", h, err)
	}
	stored, err := t.store.PutBundle(ctx, files)
	if err != nil {
		return training.Outcome{}, fmt.Errorf("collect %s: %w", h, err)
	}
	return training.Outcome{
		Artifact: stored.Digest, Signature: signature(model), Metrics: state.points[len(state.points)-1].metrics(),
		Evaluation: evaluate(model, task.heldOut, task.classes), CodeDigest: t.code, Rows: int64(len(task.train.rows)),
	}, nil
}

// bundle writes the model's files. They hold nothing of the job but what the spec decides.
func bundle(model network, t *task) ([]artifact.File, error) {
	inputs := t.heldOut.rows[:min(goldenRows, len(t.heldOut.rows))]
	golden := artifact.Golden{Inputs: inputs, Outputs: predict(model, inputs), Tolerance: goldenTolerance}
	files := []artifact.File{{Name: artifact.ModelFile, Body: encodeONNX(model)}}
	for _, part := range []struct {
		name  string
		value any
	}{
		{artifact.SignatureFile, signature(model)}, {artifact.GoldenFile, golden}, {artifact.LabelsFile, t.classes},
	} {
		body, err := json.Marshal(part.value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", part.name, err)
		}
		files = append(files, artifact.File{Name: part.name, Body: body})
	}
	return files, nil
}

// codeDigest is the SHA-256 of the running program, which holds the trainer.
func codeDigest() (digest string, err error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("look for the running program: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
