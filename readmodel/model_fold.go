package readmodel

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// modelRow is a row of phantom.model.
type modelRow struct {
	placed

	ModelID            domain.ModelID                   `json:"model_id"`
	Name               string                           `json:"name"`
	ModelType          string                           `json:"model_type"`
	Algorithm          string                           `json:"algorithm"`
	Status             domain.Status                    `json:"status"`
	CurrentVersion     *domain.Version                  `json:"current_version"`
	Deployed           map[domain.Target]domain.Version `json:"deployed"`
	RunningJobs        []domain.JobID                   `json:"running_jobs"`
	CompletedTrainings int64                            `json:"completed_trainings"`
	Metrics            map[string]float64               `json:"metrics"`
	Accuracy           *float64                         `json:"accuracy"`
	Precision          *float64                         `json:"precision"`
	Recall             *float64                         `json:"recall"`
	F1                 *float64                         `json:"f1"`
	Tags               map[string]string                `json:"tags"`
	Description        string                           `json:"description"`
	IntendedPurpose    string                           `json:"intended_purpose"`
	Config             json.RawMessage                  `json:"config"`
	Versions           int64                            `json:"versions"`
	Trainings          int64                            `json:"trainings"`
	Deployments        int64                            `json:"deployments"`
	Revision           int64                            `json:"revision"`
	CreatedAt          time.Time                        `json:"created_at"`
	CreatedBy          domain.Actor                     `json:"created_by"`
	UpdatedAt          time.Time                        `json:"updated_at"`
}

func (m *modelRow) key() string { return string(m.ModelID) }
func (m *modelRow) keys() []any { return []any{m.ModelID} }

// tagRow is a row of phantom.model_tag.
type tagRow struct {
	placed

	ModelID domain.ModelID `json:"model_id"`
	Key     string         `json:"key"`
	Value   string         `json:"value"`
}

func (r *tagRow) key() string { return string(r.ModelID) + "/" + r.Key }
func (r *tagRow) keys() []any { return []any{r.ModelID, r.Key} }

// modelColumns are those of modelRow without its place.
const modelColumns = `m.model_id, m.name, m.model_type, m.algorithm, m.status, m.current_version,
	m.deployed, m.running_jobs, m.completed_trainings, m.metrics, m.accuracy, m.precision, m.recall, m.f1,
	m.tags, m.description, m.intended_purpose, m.config, m.versions, m.trainings, m.deployments,
	m.revision, m.created_at, m.created_by, m.updated_at`

// Catalogue is the projection of models and their tags.
type Catalogue struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Catalogue) Name() string { return CatalogueName }

// Log is the lifecycle log.
func (Catalogue) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are all events of a model's own stream.
func (Catalogue) Types() []string {
	return types(
		domain.ModelCreated{}, domain.ModelConfigurationUpdated{}, domain.ModelMetadataUpdated{},
		domain.TrainingStarted{}, domain.TrainingCompleted{}, domain.TrainingFailed{},
		domain.ModelVersionCreated{}, domain.RolloutStarted{}, domain.RolloutPromoted{},
		domain.RolloutRolledBack{}, domain.ModelDeployed{}, domain.ModelUndeployed{},
		domain.AliasAssigned{}, domain.AliasRemoved{}, domain.ModelArchived{}, domain.ModelDeleted{})
}

// Tables are all that it writes.
func (Catalogue) Tables() []projection.Table {
	return []projection.Table{{Name: "model", Kind: projection.History}, {Name: "model_tag", Kind: projection.History}}
}

func types(events ...domain.Event) []string {
	names := make([]string, 0, len(events))
	for _, e := range events {
		names = append(names, domain.EventType(e))
	}
	return names
}

// Apply folds a batch into the models' rows.
func (Catalogue) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var rows []modelRow
	var tags []tagRow
	if old := keys(facts, oldModel); len(old) > 0 {
		lookUp(ask, &rows, ofModels("model", "m.from_position, "+modelColumns, "m"), s, old)
	}
	if tagged := keys(facts, retagged); len(tagged) > 0 {
		lookUp(ask, &tags, ofModels("model_tag", "t.from_position, t.model_id, t.key, t.value", "t"), s, tagged)
	}
	return func(write *projection.Rows) error {
		fold := catalogueFold{
			models: newHistory[modelRow](table{"model", []string{"model_id"}}, s, rows),
			tags:   newHistory[tagRow](table{"model_tag", []string{"model_id", "key"}}, s, tags),
		}
		if err := inOrder(facts, fold.apply); err != nil {
			return err
		}
		return errors.Join(fold.models.write(write), fold.tags.write(write))
	}, nil
}

// oldModel is the model of an event that does not create it: there may be rows of it.
func oldModel(r recorded) (domain.ModelID, bool) {
	_, creates := r.Event.(domain.ModelCreated)
	return r.model, !creates
}

// retagged is the model of an event that changes tags.
func retagged(r recorded) (domain.ModelID, bool) {
	e, described := r.Event.(domain.ModelMetadataUpdated)
	return r.model, described && len(e.Tags) > 0
}

type catalogueFold struct {
	models *history[modelRow, *modelRow]
	tags   *history[tagRow, *tagRow]
}

func (f *catalogueFold) apply(r recorded) error {
	row, known := f.models.get(string(r.model))
	if created, ok := r.Event.(domain.ModelCreated); ok {
		row = newModelRow(r, created)
	} else if !known {
		return missing("model", r.model)
	}
	row.evolve(r)
	row.Revision, row.UpdatedAt = r.Revision, r.OccurredAt
	row.Status = row.status(row.Status)
	f.retag(r)
	f.models.put(row, r.Position)
	return nil
}

func newModelRow(r recorded, e domain.ModelCreated) modelRow {
	tags := e.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return modelRow{
		ModelID: r.model, Name: e.Name, ModelType: e.ModelType, Algorithm: e.Algorithm,
		Status: domain.StatusCreated, Deployed: map[domain.Target]domain.Version{},
		RunningJobs: []domain.JobID{}, Metrics: map[string]float64{}, Tags: tags,
		Description: e.Description, IntendedPurpose: e.IntendedPurpose, Config: e.InitialConfig,
		CreatedAt: r.OccurredAt, CreatedBy: r.by(),
	}
}

// evolve changes what the event changes, but the status. It replaces maps and slices.
func (m *modelRow) evolve(r recorded) {
	switch e := r.Event.(type) {
	case domain.ModelConfigurationUpdated:
		m.Config = e.NewConfig
	case domain.ModelMetadataUpdated:
		m.describe(e)
	case domain.TrainingStarted:
		m.Trainings++
		m.RunningJobs = append(slices.Clone(m.RunningJobs), e.TrainingJobID)
	case domain.TrainingCompleted:
		m.CompletedTrainings++
		m.RunningJobs = without(m.RunningJobs, e.TrainingJobID)
	case domain.TrainingFailed:
		m.RunningJobs = without(m.RunningJobs, e.TrainingJobID)
	case domain.ModelVersionCreated:
		m.release(e)
	case domain.ModelDeployed:
		m.Deployments++
		m.Deployed = maps.Clone(m.Deployed)
		m.Deployed[e.DeploymentTarget] = e.Version
	case domain.ModelUndeployed:
		m.Deployed = maps.Clone(m.Deployed)
		delete(m.Deployed, e.DeploymentTarget)
	case domain.ModelArchived:
		m.Status = domain.StatusArchived
	case domain.ModelDeleted:
		m.Status = domain.StatusDeleted
	default: // rollouts and aliases alone change nothing but the revision
	}
}

func (m *modelRow) describe(e domain.ModelMetadataUpdated) {
	if e.Description != nil {
		m.Description = *e.Description
	}
	m.Tags = maps.Clone(m.Tags)
	for key, value := range e.Tags {
		if value == nil {
			delete(m.Tags, key)
		} else {
			m.Tags[key] = *value
		}
	}
}

func (m *modelRow) release(e domain.ModelVersionCreated) {
	m.Versions++
	m.CurrentVersion = &e.Version
	m.Metrics = orEmpty(e.PerformanceMetrics)
	m.Accuracy, m.Precision = metric(m.Metrics, "accuracy"), metric(m.Metrics, "precision")
	m.Recall, m.F1 = metric(m.Metrics, "recall"), metric(m.Metrics, "f1")
}

// status is domain.Model.Status for what the row knows; archived and deleted are for ever.
func (m *modelRow) status(former domain.Status) domain.Status {
	switch {
	case former == domain.StatusDeleted, former == domain.StatusArchived:
		return former
	case len(m.RunningJobs) > 0:
		return domain.StatusTraining
	case len(m.Deployed) > 0:
		return domain.StatusDeployed
	case m.Versions > 0, m.CompletedTrainings > 0:
		return domain.StatusTrained
	default:
		return domain.StatusCreated
	}
}

// retag keeps the tags' rows as the tags are.
func (f *catalogueFold) retag(r recorded) {
	switch e := r.Event.(type) {
	case domain.ModelCreated:
		for key, value := range e.Tags {
			f.tags.put(tagRow{ModelID: r.model, Key: key, Value: value}, r.Position)
		}
	case domain.ModelMetadataUpdated:
		for key, value := range e.Tags {
			if value == nil {
				f.tags.end(string(r.model)+"/"+key, r.Position)
			} else {
				f.tags.put(tagRow{ModelID: r.model, Key: key, Value: *value}, r.Position)
			}
		}
	default:
	}
}

func without[E comparable](list []E, gone E) []E {
	return slices.DeleteFunc(slices.Clone(list), func(e E) bool { return e == gone })
}

func metric(metrics map[string]float64, name string) *float64 {
	if value, has := metrics[name]; has {
		return &value
	}
	return nil
}

func orEmpty(metrics map[string]float64) map[string]float64 {
	if metrics == nil {
		return map[string]float64{}
	}
	return metrics
}
