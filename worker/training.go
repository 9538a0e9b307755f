package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/artifact"
	"phantom/domain"
	"phantom/internal/config"
	"phantom/training"
	"phantom/training/embedded"
	"phantom/workflows"
)

// serveTraining runs the embedded trainer and the activities that drive it.
func serveTraining(ctx context.Context, p *parts) error {
	if err := p.serverReady(ctx, config.RoleTraining); err != nil {
		return err
	}
	trainer, err := embedded.New(p.artifacts, p.state("training"))
	if err != nil {
		return err
	}
	w := p.worker(workflows.DefaultQueues().Training, worker.Options{DisableWorkflowWorker: true})
	w.RegisterActivity(&activities.Trainer{
		Trainer: trainer, Datasets: datasets{store: p.artifacts, roots: p.cfg.File.DataRoots},
		Commands: p.registry, Aggregates: p.registry, Signals: p.temporal,
	})
	err = p.work(ctx, w, config.RoleTraining)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return errors.Join(err, trainer.Close(grace))
}

// datasets reads files under the allowed roots.
type datasets struct {
	store *artifact.Store
	roots []string
}

// Snapshot implements activities.Datasets.
func (d datasets) Snapshot(ctx context.Context, uri, label string) (domain.DatasetInfo, error) {
	path, err := d.allowed(uri)
	if err != nil {
		return domain.DatasetInfo{}, err
	}
	return training.SnapshotFile(ctx, d.store, path, label)
}

// allowed turns a URI into a path below one of the roots, links resolved. A relative one is taken from
// the working directory.
func (d datasets) allowed(uri string) (string, error) {
	path := uri
	if parsed, err := url.Parse(uri); err == nil && parsed.Scheme != "" {
		if parsed.Scheme != "file" || parsed.Host != "" && parsed.Host != "localhost" {
			return "", &domain.InvalidInput{Field: "uri", Reason: "only local files can be read yet: a path or file:///…"}
		}
		path = parsed.Path
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", &domain.InvalidInput{Field: "uri", Reason: "is not a path"}
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", &domain.InvalidInput{Field: "uri", Reason: "cannot be read"}
	}
	for _, root := range d.roots {
		if resolved, err := filepath.EvalSymlinks(root); err == nil {
			root = resolved
		}
		if rest, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rest) {
			return path, nil
		}
	}
	return "", &domain.InvalidInput{
		Field: "uri", Reason: "lies outside the allowed data roots (" + strings.Join(d.roots, ", ") + "); see data.roots in phantom.yaml",
	}
}
