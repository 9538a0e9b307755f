package mainjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"phantom/api/client"
)

const (
	promoted   = "promoted"
	rolledBack = "rolled_back"
)

// trainingRun is one TrainModel of the story.
type trainingRun struct {
	name  string
	model string
	data  string // URI
	spec  spec
	kill  bool // the worker in the middle
}

// spec is how a version is trained; see examples/digits.
type spec struct {
	Algorithm string          `json:"algorithm"`
	Params    json.RawMessage `json:"params"`
	Seed      int64           `json:"seed"`
}

func (j *job) createModel(ctx context.Context, id, name string) error {
	err := j.API.Do(ctx, client.Request{Method: http.MethodPost, Path: "/api/v1/models", Body: map[string]any{
		"model_id": id, "name": name, "model_type": "classification", "algorithm": "mlp",
		"description": "Handwritten digits, 8×8 pixels", "tags": map[string]string{"team": "examples"},
	}}, nil)
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Code == "already_exists" {
		j.panel.line("model %s is there from an earlier run", id)
		return nil
	}
	if err == nil {
		j.panel.line("created model %s", id)
	}
	return err
}

// train runs a TrainModel saga to its end and reports it; any outcome but registered is an error.
func (j *job) train(ctx context.Context, t trainingRun) (TrainingReport, error) {
	input := map[string]any{
		"data": map[string]any{"train": map[string]string{"uri": t.data, "label": "label"}}, "trainer": map[string]string{"kind": "embedded"},
		"algorithm": t.spec.Algorithm, "params": t.spec.Params, "seed": t.spec.Seed,
		"gates": []any{map[string]any{"metric": "accuracy", "op": ">=", "threshold": 0.95}}, "requested_by": "make-run",
	}
	id, err := j.start(ctx, "/api/v1/models/"+t.model+"/trainings", j.run+"-"+t.name, input)
	if err != nil {
		return TrainingReport{}, err
	}
	j.panel.line("TrainModel %s is on its way: %s", t.name, j.sagaLink(id))
	watch := &watcher{job: j, training: t}
	s, err := j.follow(ctx, id, func(s saga) error { return watch.see(ctx, s) })
	if err != nil {
		return TrainingReport{}, err
	}
	return j.trained(t, id, s)
}

func (j *job) trained(t trainingRun, id string, s saga) (TrainingReport, error) {
	var result struct {
		Outcome           string             `json:"outcome"`
		Version           string             `json:"version"`
		Metrics           map[string]float64 `json:"metrics"`
		ArtifactsLocation string             `json:"artifacts_location"`
		TrainingJobID     string             `json:"training_job_id"`
		Position          int64              `json:"position"`
	}
	if err := json.Unmarshal(s.Result, &result); err != nil {
		return TrainingReport{}, fmt.Errorf("the result of %s: %w", id, err)
	}
	if result.Outcome != "registered" {
		return TrainingReport{}, fmt.Errorf("the saga %s ended as %s, not registered", id, result.Outcome)
	}
	if t.kill && j.report.Kill.RecoveredMS == 0 {
		return TrainingReport{}, fmt.Errorf("training %s ended before the worker could be killed in its middle", t.name)
	}
	r := TrainingReport{
		Name: t.name, ModelID: t.model, SagaID: id, TrainingJobID: result.TrainingJobID, Outcome: result.Outcome,
		Version: result.Version, Accuracy: result.Metrics["accuracy"], ArtifactsLocation: result.ArtifactsLocation, Position: result.Position,
	}
	j.report.Trainings = append(j.report.Trainings, r)
	j.panel.line("registered %s version %s: held-out accuracy %.4f (gate >= 0.95), artifact %s", t.model, r.Version, r.Accuracy, short(r.ArtifactsLocation))
	return r, nil
}

// watcher shows a training's progress and kills the worker once in its middle.
type watcher struct {
	*job
	training trainingRun
	killed   time.Time
}

func (w *watcher) see(ctx context.Context, s saga) error {
	p := s.Progress
	if p.Epoch == 0 {
		w.panel.status(s.Status.Stage, "training %s: %s", w.training.name, s.Status.Stage)
		return nil
	}
	if w.report.FirstStepMS == 0 {
		w.report.FirstStepMS = time.Since(w.report.StartedAt).Milliseconds()
	}
	w.panel.progress("training "+w.training.name, p.Percentage,
		fmt.Sprintf("epoch %d/%d  loss %.4f  accuracy %.4f", p.Epoch, p.Epochs, p.Metrics["loss"], p.Metrics["accuracy"]))
	switch {
	case w.training.kill && w.killed.IsZero() && p.Percentage >= 40:
		return w.killWorker(ctx, p)
	case !w.killed.IsZero() && w.report.Kill.RecoveredMS == 0 && p.Epoch > w.report.Kill.AtEpoch:
		w.report.Kill.RecoveredMS = time.Since(w.killed).Milliseconds()
		w.panel.line("resumed from its checkpoint: epoch %d seen %.1f s after the kill", p.Epoch, time.Since(w.killed).Seconds())
	}
	return nil
}

func (w *watcher) killWorker(ctx context.Context, p progress) error {
	w.report.Kill = KillReport{AtEpoch: p.Epoch, Epochs: p.Epochs}
	w.panel.line("kill -9 of the worker at epoch %d of %d; starting it again", p.Epoch, p.Epochs)
	w.killed = time.Now()
	return w.Restart(ctx)
}
