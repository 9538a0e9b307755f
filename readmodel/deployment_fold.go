package readmodel

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// deploymentRow is a row of phantom.deployment.
type deploymentRow struct {
	placed

	ModelID         domain.ModelID    `json:"model_id"`
	Target          domain.Target     `json:"target"`
	Version         domain.Version    `json:"version"`
	StartedPosition int64             `json:"started_position"`
	State           DeploymentState   `json:"state"`
	Weight          int               `json:"weight"`
	RolloutID       *domain.RolloutID `json:"rollout_id"`
	DeployedAt      time.Time         `json:"deployed_at"`
	DeployedBy      domain.Actor      `json:"deployed_by"`
	EndedAt         *time.Time        `json:"ended_at"`
	EndReason       string            `json:"end_reason"`
}

func (d *deploymentRow) key() string {
	return fmt.Sprintf("%s/%s/%s/%d", d.ModelID, d.Target, d.Version, d.StartedPosition)
}

func (d *deploymentRow) keys() []any {
	return []any{d.ModelID, d.Target, d.Version, d.StartedPosition}
}

const deploymentColumns = `d.model_id, d.target, d.version, d.started_position, d.state, d.weight,
	d.rollout_id, d.deployed_at, d.deployed_by, d.ended_at, d.end_reason`

// Deployments is the projection of what serves, and served, where, with which share of the traffic.
type Deployments struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Deployments) Name() string { return DeploymentsName }

// Log is the lifecycle log.
func (Deployments) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are what moves traffic.
func (Deployments) Types() []string {
	return types(domain.TrafficShifted{}, domain.ModelDeployed{}, domain.ModelUndeployed{},
		domain.RolloutRolledBack{})
}

// Tables are all that it writes.
func (Deployments) Tables() []projection.Table {
	return []projection.Table{{Name: "deployment", Kind: projection.History}}
}

const loadDeploymentsSQL = `
select k.tenant, d.from_position, ` + deploymentColumns + `
from ` + projection.NamedKeys + ` k
cross join lateral (
	select * from phantom.deployment r
	where r.tenant_id = k.tenant and r.generation = $2 and r.model_id = k.id and r.to_position is null and r.ended_at is null
	offset 0) as d`

// Apply folds a batch into the deployments' rows.
func (Deployments) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var rows []deploymentRow
	lookUp(ask, &rows, loadDeploymentsSQL, s, models(facts))
	return func(write *projection.Rows) error {
		fold := deploymentFold{newHistory[deploymentRow](
			table{"deployment", []string{"model_id", "target", "version", "started_position"}}, s, rows)}
		for _, fact := range facts {
			fold.apply(fact)
		}
		return fold.write(write)
	}, nil
}

type deploymentFold struct {
	*history[deploymentRow, *deploymentRow]
}

func (f deploymentFold) apply(r recorded) {
	switch e := r.Event.(type) {
	case domain.TrafficShifted:
		f.shift(r, e)
	case domain.ModelDeployed:
		f.deploy(r, e)
	case domain.ModelUndeployed:
		for _, row := range f.serving(r.model, e.DeploymentTarget) {
			f.finish(row, r, e.Reason)
		}
	case domain.RolloutRolledBack:
		f.rollBack(r, e)
	default:
	}
}

// serving are the deployments at a target that have not ended, oldest first.
func (f deploymentFold) serving(model domain.ModelID, target domain.Target) []deploymentRow {
	var rows []deploymentRow
	for _, row := range f.current {
		if row.ModelID == model && row.Target == target && row.EndedAt == nil {
			rows = append(rows, *row)
		}
	}
	slices.SortFunc(rows, func(a, b deploymentRow) int { return int(a.StartedPosition - b.StartedPosition) })
	return rows
}

func (f deploymentFold) shift(r recorded, e domain.TrafficShifted) {
	unseen := maps.Clone(e.Weights)
	for _, row := range f.serving(r.model, e.Target) {
		weight := e.Weights[row.Version]
		delete(unseen, row.Version)
		switch {
		case weight == 0 && row.State == DeploymentCanary:
			f.finish(row, r, "its traffic went back")
		case weight != row.Weight:
			row.Weight = weight
			f.put(row, r.Position)
		}
	}
	for version, weight := range unseen {
		if weight == 0 {
			continue
		}
		rollout := domain.RolloutID(r.child())
		f.put(deploymentRow{
			ModelID: r.model, Target: e.Target, Version: version, StartedPosition: r.Position,
			State: DeploymentCanary, Weight: weight, RolloutID: &rollout,
			DeployedAt: r.OccurredAt, DeployedBy: r.by(),
		}, r.Position)
	}
}

// deploy gives a version all traffic. One that was there as a canary becomes the deployment; one that
// was deployed there already, and gets another config, goes on.
func (f deploymentFold) deploy(r recorded, e domain.ModelDeployed) {
	next := deploymentRow{
		ModelID: r.model, Target: e.DeploymentTarget, Version: e.Version, StartedPosition: r.Position,
	}
	for _, row := range f.serving(r.model, e.DeploymentTarget) {
		if row.Version == e.Version {
			next = row
		} else {
			f.finish(row, r, "replaced by version "+string(e.Version))
		}
	}
	if next.State != DeploymentDeployed {
		next.DeployedAt, next.DeployedBy = r.OccurredAt, r.by()
		next.RolloutID = given(e.RolloutID)
	}
	next.State, next.Weight = DeploymentDeployed, 100
	f.put(next, r.Position)
}

func (f deploymentFold) rollBack(r recorded, e domain.RolloutRolledBack) {
	for _, row := range f.serving(r.model, e.Target) {
		switch {
		case row.State == DeploymentCanary:
			f.finish(row, r, e.Reason)
		case row.Version == e.RestoredVersion && row.Weight != 100:
			row.Weight = 100
			f.put(row, r.Position)
		}
	}
}

func (f deploymentFold) finish(row deploymentRow, r recorded, reason string) {
	row.State, row.Weight = DeploymentEnded, 0
	row.EndedAt, row.EndReason = &r.OccurredAt, reason
	f.put(row, r.Position)
}
