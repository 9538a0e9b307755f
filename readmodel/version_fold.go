package readmodel

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// versionRow is a row of phantom.version.
type versionRow struct {
	placed

	ModelID           domain.ModelID     `json:"model_id"`
	Version           domain.Version     `json:"version"`
	Number            int                `json:"number"`
	PreviousVersion   *domain.Version    `json:"previous_version"`
	ArtifactsLocation domain.Digest      `json:"artifacts_location"`
	Metrics           map[string]float64 `json:"metrics"`
	Signature         *domain.Signature  `json:"signature"`
	TrainingJobID     *domain.JobID      `json:"training_job_id"`
	Modification      string             `json:"modification"`
	CreatedAt         time.Time          `json:"created_at"`
	CreatedBy         domain.Actor       `json:"created_by"`
	DeployedTargets   []domain.Target    `json:"deployed_targets"`
}

func (v *versionRow) key() string { return versionKey(v.ModelID, v.Version) }
func (v *versionRow) keys() []any { return []any{v.ModelID, v.Version} }

func versionKey(m domain.ModelID, v domain.Version) string { return string(m) + "/" + string(v) }

const versionColumns = `v.model_id, v.version, v.number, v.previous_version, v.artifacts_location,
	v.metrics, v.signature, v.training_job_id, v.modification, v.created_at, v.created_by,
	v.deployed_targets`

// Versions is the projection of a model's versions, and of where they are deployed.
type Versions struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Versions) Name() string { return VersionsName }

// Log is the lifecycle log.
func (Versions) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are what makes a version, and what deploys it.
func (Versions) Types() []string {
	return types(domain.ModelVersionCreated{}, domain.ModelDeployed{}, domain.ModelUndeployed{})
}

// Tables are all that it writes.
func (Versions) Tables() []projection.Table {
	return []projection.Table{{Name: "version", Kind: projection.History}}
}

// A deployment takes the target from the version that had it, so those that have one are loaded too.
const servingVersionsSQL = `
where jsonb_array_length(v.deployed_targets) > 0`

// Apply folds a batch into the versions' rows.
func (Versions) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var rows []versionRow
	if moved := keys(facts, deployedModel); len(moved) > 0 {
		lookUp(ask, &rows, ofModels("version", "v.from_position, "+versionColumns, "v")+servingVersionsSQL, s, moved)
	}
	if deployed := keys(facts, deployedVersion); len(deployed) > 0 {
		lookUp(ask, &rows, ofChildren("version", "version", "v.from_position, "+versionColumns, "v"), s, deployed)
	}
	return func(write *projection.Rows) error {
		fold := versionFold{newHistory[versionRow](table{"version", []string{"model_id", "version"}}, s, rows)}
		if err := inOrder(facts, fold.apply); err != nil {
			return err
		}
		return fold.write(write)
	}, nil
}

// deployedModel is the model of an event that changes where versions are deployed; a version that is made changes no other.
func deployedModel(r recorded) (domain.ModelID, bool) {
	_, made := r.Event.(domain.ModelVersionCreated)
	return r.model, !made
}

func deployedVersion(r recorded) (string, bool) {
	e, deployed := r.Event.(domain.ModelDeployed)
	return childKey(r.model, string(e.Version)), deployed
}

type versionFold struct {
	*history[versionRow, *versionRow]
}

func (f versionFold) apply(r recorded) error {
	switch e := r.Event.(type) {
	case domain.ModelVersionCreated:
		number, err := strconv.Atoi(string(e.Version))
		if err != nil {
			return fmt.Errorf("version %q of model %s is no number: %w", e.Version, r.model, err)
		}
		f.put(versionRow{
			ModelID: r.model, Version: e.Version, Number: number, PreviousVersion: given(e.PreviousVersion),
			ArtifactsLocation: e.ArtifactsLocation, Metrics: orEmpty(e.PerformanceMetrics),
			Signature: e.Signature, TrainingJobID: given(e.TrainingJobID), Modification: e.Modification,
			CreatedAt: r.OccurredAt, CreatedBy: r.by(), DeployedTargets: []domain.Target{},
		}, r.Position)
	case domain.ModelUndeployed:
		f.withdraw(r, e.DeploymentTarget, "")
	case domain.ModelDeployed:
		f.withdraw(r, e.DeploymentTarget, e.Version)
		row, known := f.get(versionKey(r.model, e.Version))
		if !known {
			return missing("version", versionKey(r.model, e.Version))
		}
		if !slices.Contains(row.DeployedTargets, e.DeploymentTarget) {
			row.DeployedTargets = append(slices.Clone(row.DeployedTargets), e.DeploymentTarget)
			slices.Sort(row.DeployedTargets)
			f.put(row, r.Position)
		}
	default:
	}
	return nil
}

// withdraw takes the target from every version of the model but one.
func (f versionFold) withdraw(r recorded, target domain.Target, but domain.Version) {
	for _, current := range f.current {
		row := *current
		if row.ModelID == r.model && row.Version != but && slices.Contains(row.DeployedTargets, target) {
			row.DeployedTargets = without(row.DeployedTargets, target)
			f.put(row, r.Position)
		}
	}
}

// given is nil for an empty value.
func given[S ~string](value S) *S {
	if value == "" {
		return nil
	}
	return &value
}
