// Package mainjob carries real models through their life on a running Phantom, as a user would: over
// the HTTP API and the inference gateway alone.
//
// What it promises: every figure that it prints and reports was measured in this run; it ends with an
// error when anything went another way than the story tells.
//
// What it does not: it starts and stops no stack. The worker is killed and started again through
// Params.Restart, because that is part of the story.
package mainjob

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"phantom/api/client"
)

// Params are where the stack answers, and what the job may do to it.
type Params struct {
	API     *client.Client
	Gateway string // http://127.0.0.1:8301
	// Root is the working directory of the worker: data URIs are relative to it.
	Root string
	// State is where derived data and report.json go; below Root.
	State string
	// Restart kills the worker with SIGKILL and starts it again; it returns when it answers.
	Restart func(ctx context.Context) error
	// Out gets the story. Width is its terminal's, in columns: the panel is redrawn in place; 0 prints
	// plain lines.
	Out   io.Writer
	Width int
	// TemporalUI is printed where a saga can be looked at; may be empty.
	TemporalUI string
}

// The models of the job. The second one proves that a killed training leaves the same artifact.
const (
	model       = "digits"
	undisturbed = "digits-undisturbed"
	target      = "local"
)

// job is one run of the story.
type job struct {
	Params
	rows   []row // held-out
	specs  map[string]spec
	run    string
	panel  *panel
	report Report
}

// Run tells the story to its end and returns what happened; Report is also written to
// State/report.json. A step that goes another way than told ends it with an error.
func Run(ctx context.Context, p Params) (Report, error) {
	began := time.Now()
	j := &job{Params: p, run: began.UTC().Format("2006-01-02T15-04-05"), panel: newPanel(p.Out, p.Width)}
	j.report.Run, j.report.StartedAt = j.run, began.UTC()
	if err := j.tell(ctx); err != nil {
		return j.report, err
	}
	j.report.DurationMS = time.Since(began).Milliseconds()
	if err := j.verify(ctx); err != nil {
		return j.report, err
	}
	if err := j.report.write(p.State); err != nil {
		return j.report, err
	}
	j.closing()
	return j.report, nil
}

func (j *job) tell(ctx context.Context) error {
	if err := j.prepareData(); err != nil {
		return err
	}
	if err := j.clear(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"1  A model from nothing: train, kill the worker in the middle, resume, register, deploy", j.first},
		{"2  A better version: canary under live traffic, promoted by the sequential test", j.better},
		{"3  A version with a data bug: the canary rolls it back", j.broken},
		{"4  What stays: the audit trail, the past, the proof", j.proof},
	} {
		j.panel.heading(part.title)
		if err := part.tell(ctx); err != nil {
			return fmt.Errorf("part %s: %w", part.title[:1], err)
		}
	}
	return nil
}

// first trains version A through a kill -9, and deploys it.
func (j *job) first(ctx context.Context) error {
	if err := j.createModel(ctx, model, "Handwritten digits"); err != nil {
		return err
	}
	a, err := j.train(ctx, trainingRun{name: "A", model: model, data: digitsCSV, spec: j.specs["A"], kill: true})
	if err != nil {
		return err
	}
	return j.deploy(ctx, deployment{name: "A", version: a.Version, want: promoted})
}

// better trains version B, which must beat A on the held-out rows, and brings it in by canary.
func (j *job) better(ctx context.Context) error {
	b, err := j.train(ctx, trainingRun{name: "B", model: model, data: digitsCSV, spec: j.specs["B"]})
	if err != nil {
		return err
	}
	a := j.report.training("A")
	if b.Accuracy <= a.Accuracy {
		return fmt.Errorf("version B has accuracy %.4f, not above A's %.4f", b.Accuracy, a.Accuracy)
	}
	return j.deploy(ctx, deployment{name: "B", version: b.Version, want: promoted})
}

// broken trains version C on transposed pixels. Its own held-out rows share the bug, so the gate lets it
// pass; live traffic does not.
func (j *job) broken(ctx context.Context) error {
	uri, err := j.transposedURI()
	if err != nil {
		return err
	}
	c, err := j.train(ctx, trainingRun{name: "C", model: model, data: uri, spec: j.specs["C"]})
	if err != nil {
		return err
	}
	before, err := j.model(ctx, model, c.Position)
	if err != nil {
		return err
	}
	j.report.Before = moment{Position: before.position, CurrentVersion: before.CurrentVersion, Deployed: before.DeployedTargets}
	return j.deploy(ctx, deployment{name: "C", version: c.Version, want: rolledBack})
}

// closing tells where to look next.
func (j *job) closing() {
	j.panel.heading("Done: every part went as told")
	j.panel.line("report       %s", filepath.Join(j.State, ReportFile))
	j.panel.line("API          %s/docs", j.API.URL)
	j.panel.line("gateway      %s/v2/models/%s", j.Gateway, model)
	if j.TemporalUI != "" {
		j.panel.line("Temporal UI  %s", j.TemporalUI)
	}
	j.panel.line("try next     bin/phantom model get %[1]s; bin/phantom model events %[1]s; bin/phantom rollout list %[1]s", model)
}

// sagaLink is where the Temporal UI shows a saga, or its id.
func (j *job) sagaLink(id string) string {
	if j.TemporalUI == "" {
		return id
	}
	return j.TemporalUI + "/namespaces/default/workflows/" + id
}
