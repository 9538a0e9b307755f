package main

import (
	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/domain"
)

// registerOrchestration registers the activities of the common queue.
func (p *parts) registerOrchestration(w worker.Worker) error {
	w.RegisterActivity(&activities.Approvals{Commands: p.registry})
	w.RegisterActivity(&activities.Training{Commands: p.registry, Aggregates: p.registry, Artifacts: p.artifacts, Targets: p.targetNames()})
	return p.registerDeployment(w)
}

// targets names the places to serve from.
type targetNames []domain.Target

// Names implements activities.Targets.
func (t targetNames) Names() []domain.Target { return t }

func (p *parts) targetNames() targetNames {
	names := make(targetNames, len(p.cfg.File.Targets))
	for i, target := range p.cfg.File.Targets {
		names[i] = domain.Target(target.Name)
	}
	return names
}
