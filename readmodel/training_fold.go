package readmodel

import (
	"encoding/json"
	"fmt"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// trainingRow is a row of phantom.training.
type trainingRow struct {
	placed

	ModelID           domain.ModelID        `json:"model_id"`
	TrainingJobID     domain.JobID          `json:"training_job_id"`
	StartedPosition   int64                 `json:"started_position"`
	SagaID            string                `json:"saga_id"`
	State             TrainingState         `json:"state"`
	Config            domain.TrainingConfig `json:"config"`
	Datasets          []domain.DatasetInfo  `json:"datasets"`
	FinalMetrics      map[string]float64    `json:"final_metrics"`
	ArtifactsLocation *domain.Digest        `json:"artifacts_location"`
	CodeDigest        string                `json:"code_digest"`
	DurationMS        *int64                `json:"duration_ms"`
	Evaluation        *Evaluation           `json:"evaluation"`
	Approval          *Approval             `json:"approval"`
	ApprovalState     *ApprovalState        `json:"approval_state"`
	StartedAt         time.Time             `json:"started_at"`
	StartedBy         domain.Actor          `json:"started_by"`
	EndedAt           *time.Time            `json:"ended_at"`
	Version           *domain.Version       `json:"version"`
	FailureReason     *domain.FailureReason `json:"failure_reason"`
	ErrorDetails      string                `json:"error_details"`
}

func (t *trainingRow) key() string { return childKey(t.ModelID, string(t.TrainingJobID)) }
func (t *trainingRow) keys() []any { return []any{t.ModelID, t.TrainingJobID} }

func childKey(m domain.ModelID, child string) string { return string(m) + "/" + child }

// progressRows are columns of rows of phantom.training_progress, which are many and never changed.
type progressRows struct {
	models      []domain.ModelID
	jobs        []domain.JobID
	positions   []int64
	epochs      []int
	steps       []int64
	percentages []float64
	metrics     []string // JSON
	at          []time.Time
}

func (p *progressRows) add(r recorded, row trainingRow, e domain.TrainingProgressUpdated) error {
	metrics, err := json.Marshal(orEmpty(e.Metrics))
	if err != nil {
		return fmt.Errorf("metrics as JSON: %w", err)
	}
	p.models, p.jobs = append(p.models, row.ModelID), append(p.jobs, row.TrainingJobID)
	p.positions, p.at = append(p.positions, r.Position), append(p.at, r.OccurredAt)
	p.epochs, p.steps = append(p.epochs, e.Epoch), append(p.steps, e.Step)
	p.percentages, p.metrics = append(p.percentages, e.ProgressPercentage), append(p.metrics, string(metrics))
	return nil
}

const storeProgressSQL = `
insert into phantom.training_progress
    (tenant_id, generation, model_id, training_job_id, position, epoch, step, percentage, metrics, at)
select $1, $2, * from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::double precision[],
    $9::jsonb[], $10::timestamptz[])`

func (p *progressRows) write(batch *projection.Rows, s scope) {
	if len(p.positions) > 0 {
		batch.Queue(storeProgressSQL, s.tenant, s.generation,
			p.models, p.jobs, p.positions, p.epochs, p.steps, p.percentages, p.metrics, p.at)
	}
}

const trainingColumns = `t.model_id, t.training_job_id, t.started_position, t.saga_id, t.state, t.config,
	t.datasets, t.final_metrics, t.artifacts_location, t.code_digest, t.duration_ms, t.evaluation,
	t.approval, t.approval_state, t.started_at, t.started_by, t.ended_at, t.version, t.failure_reason,
	t.error_details`

// Trainings is the projection of training jobs and their curves.
type Trainings struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Trainings) Name() string { return TrainingsName }

// Log is the lifecycle log.
func (Trainings) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are all events of a job, and what makes a version of it.
func (Trainings) Types() []string {
	return types(
		domain.TrainingStarted{}, domain.TrainingCompleted{}, domain.TrainingFailed{},
		domain.TrainingProgressUpdated{}, domain.CandidateEvaluated{}, domain.ApprovalRequested{},
		domain.ApprovalDecided{}, domain.ModelVersionCreated{})
}

// Tables are all that it writes.
func (Trainings) Tables() []projection.Table {
	return []projection.Table{{Name: "training", Kind: projection.History}, {Name: "training_progress", Kind: projection.Appended}}
}

// Apply folds a batch into the trainings' rows.
func (Trainings) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	jobs := keys(facts, jobOf)
	if len(jobs) == 0 {
		return nil, nil
	}
	var rows []trainingRow
	lookUp(ask, &rows, ofChildren("training", "training_job_id", "t.from_position, "+trainingColumns, "t"), s, jobs)
	return func(write *projection.Rows) error {
		fold := trainingFold{history: newHistory[trainingRow](table{"training", []string{"model_id", "training_job_id"}}, s, rows)}
		if err := inOrder(facts, fold.apply); err != nil {
			return err
		}
		fold.progress.write(write, s)
		return fold.write(write)
	}, nil
}

// jobOf is the key of the job that an event changes, if it changes one.
func jobOf(r recorded) (string, bool) {
	var job domain.JobID
	switch e := r.Event.(type) {
	case domain.TrainingStarted:
		job = e.TrainingJobID
	case domain.TrainingCompleted:
		job = e.TrainingJobID
	case domain.TrainingFailed:
		job = e.TrainingJobID
	case domain.ModelVersionCreated:
		job = e.TrainingJobID
	default:
		if r.Stream.Type == domain.TypeTrainingJob {
			job = domain.JobID(r.child())
		}
	}
	return childKey(r.model, string(job)), job != ""
}

type trainingFold struct {
	*history[trainingRow, *trainingRow]

	progress progressRows
}

func (f *trainingFold) apply(r recorded) error {
	key, changes := jobOf(r)
	if !changes {
		return nil
	}
	if e, ok := r.Event.(domain.TrainingStarted); ok {
		f.put(newTrainingRow(r, e), r.Position)
		return nil
	}
	row, known := f.get(key)
	if !known {
		return missing("training", key)
	}
	if e, ok := r.Event.(domain.TrainingProgressUpdated); ok {
		return f.progress.add(r, row, e)
	}
	if err := row.evolve(r); err != nil {
		return err
	}
	f.put(row, r.Position)
	return nil
}

func newTrainingRow(r recorded, e domain.TrainingStarted) trainingRow {
	return trainingRow{
		ModelID: r.model, TrainingJobID: e.TrainingJobID, StartedPosition: r.Position,
		SagaID: r.Metadata.WorkflowID, State: TrainingRunning, Config: e.TrainingConfig,
		Datasets: orNone(e.DatasetInfo), StartedAt: r.OccurredAt, StartedBy: r.by(),
	}
}

// evolve changes what the event changes; progress is kept elsewhere.
func (t *trainingRow) evolve(r recorded) error {
	switch e := r.Event.(type) {
	case domain.TrainingCompleted:
		t.complete(r, e)
	case domain.TrainingFailed:
		t.State = TrainingFailed
		if e.FailureReason == domain.FailureCancelled {
			t.State = TrainingCancelled
		}
		t.EndedAt, t.FailureReason, t.ErrorDetails = &r.OccurredAt, &e.FailureReason, e.ErrorDetails
	case domain.ModelVersionCreated:
		t.Version = &e.Version
	case domain.CandidateEvaluated:
		t.Evaluation = &Evaluation{
			Metrics: orEmpty(e.Metrics), ConfusionMatrix: orNone(e.ConfusionMatrix), Labels: orNone(e.Labels),
			Rows: e.Rows, Gates: orNone(e.Gates), Passed: e.Passed, At: r.OccurredAt,
		}
	default:
		approval, err := approve(t.Approval, r)
		if err != nil {
			return err
		}
		t.Approval, t.ApprovalState = approval, stateOf(approval)
	}
	return nil
}

func (t *trainingRow) complete(r recorded, e domain.TrainingCompleted) {
	t.State, t.EndedAt = TrainingCompleted, &r.OccurredAt
	t.FinalMetrics, t.ArtifactsLocation = orEmpty(e.FinalMetrics), given(e.ArtifactsLocation)
	t.DurationMS, t.CodeDigest = &e.TrainingDurationMS, e.CodeDigest
	if len(e.DatasetInfo) > 0 {
		t.Datasets = e.DatasetInfo
	}
}

// orNone is an empty list for none, so that JSON says [] and not null.
func orNone[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}
