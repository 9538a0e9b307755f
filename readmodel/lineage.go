package readmodel

import (
	"context"
	"errors"

	"phantom/domain"
)

// Lineage is where a version comes from, who let it pass, and where it went.
type Lineage struct {
	Version Version `json:"version"`
	// Training is the job that made it, with its data digests, parameters, code digest, who started it and
	// who approved the candidate; nil when it was registered without one.
	Training *Training `json:"training"`
	// Previous is the version before it; nil for the first.
	Previous *Version `json:"previous"`
	// Rollouts took it to a target, each with who started and who approved it; the newest first, at most
	// MaxLimit of them.
	Rollouts []Rollout `json:"rollouts" nullable:"false"`
	// Deployments are the times in which it served; the newest first, at most MaxLimit of them.
	Deployments []Deployment `json:"deployments" nullable:"false"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// LineageProjections are those that a lineage is read from.
func LineageProjections() []string {
	return []string{VersionsName, TrainingsName, RolloutsName, DeploymentsName}
}

// GetLineage follows a version back to its data and forth to its deployments, now or as of a position
// that LineageProjections have seen (0 means now). *domain.NotFound.
func (r *Reader) GetLineage(ctx context.Context, tenant domain.Tenant, id domain.ModelID, version domain.Version, asOf int64) (Lineage, error) {
	made, err := r.GetVersion(ctx, tenant, id, version, asOf)
	if err != nil {
		return Lineage{}, err
	}
	lineage := Lineage{Version: made, Position: made.Position}
	if made.TrainingJobID != nil {
		training, err := r.GetTraining(ctx, tenant, *made.TrainingJobID, asOf)
		if err := unlessBehind(err); err != nil {
			return Lineage{}, err
		}
		if err == nil {
			lineage.Training, lineage.Position = &training, min(lineage.Position, training.Position)
		}
	}
	if made.PreviousVersion != nil {
		previous, err := r.GetVersion(ctx, tenant, id, *made.PreviousVersion, asOf)
		if err != nil {
			return Lineage{}, err
		}
		lineage.Previous = &previous
	}
	return lineage, r.follow(ctx, tenant, &lineage, asOf)
}

// unlessBehind leaves out that a projection does not know yet what another one does.
func unlessBehind(err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	return err
}

// follow adds where a version went.
func (r *Reader) follow(ctx context.Context, tenant domain.Tenant, l *Lineage, asOf int64) error {
	most := Paging{Limit: MaxLimit}
	rollouts, err := r.ListRollouts(ctx, tenant, RolloutFilter{ModelID: l.Version.ModelID, Version: l.Version.Version, AsOf: asOf}, most)
	if err != nil {
		return err
	}
	served, err := r.ListDeployments(ctx, tenant, DeploymentFilter{ModelID: l.Version.ModelID, Version: l.Version.Version, AsOf: asOf}, most)
	if err != nil {
		return err
	}
	l.Rollouts, l.Deployments = rollouts.Items, served.Items
	l.Position = min(l.Position, rollouts.Position, served.Position)
	return nil
}
