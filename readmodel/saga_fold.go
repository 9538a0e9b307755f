package readmodel

import (
	"strings"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// The kinds of sagas, which are the names of their workflows.
const (
	kindTrain    = "TrainModel"
	kindDeploy   = "DeployModel"
	kindRollback = "RollbackModel"
	kindUndeploy = "UndeployModel"
)

// sagaRow is a row of phantom.saga.
type sagaRow struct {
	placed

	SagaID          string          `json:"saga_id"`
	RunID           string          `json:"run_id"`
	Kind            string          `json:"kind"`
	ModelID         domain.ModelID  `json:"model_id"`
	Target          domain.Target   `json:"target"`
	Version         *domain.Version `json:"version"`
	State           SagaState       `json:"state"`
	Outcome         string          `json:"outcome"`
	StartedPosition int64           `json:"started_position"`
	StartedAt       time.Time       `json:"started_at"`
	StartedBy       domain.Actor    `json:"started_by"`
	EndedAt         *time.Time      `json:"ended_at"`
}

func (s *sagaRow) key() string { return s.SagaID + "\x00" + s.RunID }
func (s *sagaRow) keys() []any { return []any{s.SagaID, s.RunID} }

const sagaColumns = `s.saga_id, s.run_id, s.kind, s.model_id, s.target, s.version, s.state, s.outcome,
	s.started_position, s.started_at, s.started_by, s.ended_at`

// Sagas is the projection of the runs of sagas that have left an event.
type Sagas struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Sagas) Name() string { return SagasName }

// Log is the lifecycle log.
func (Sagas) Log() eventstore.Log { return eventstore.Lifecycle }

// Tables are all that it writes.
func (Sagas) Tables() []projection.Table {
	return []projection.Table{{Name: "saga", Kind: projection.History}}
}

// Types are the events that a saga begins or ends with.
func (Sagas) Types() []string {
	return types(domain.ModelCreated{}, domain.TrainingStarted{}, domain.TrainingFailed{}, domain.CandidateEvaluated{},
		domain.ApprovalDecided{}, domain.ModelVersionCreated{}, domain.RolloutStarted{}, domain.RolloutPromoted{},
		domain.RolloutRolledBack{}, domain.ModelDeployed{}, domain.ModelUndeployed{})
}

const loadSagasSQL = `
select s.from_position, ` + sagaColumns + `
from unnest($3::text[], $4::text[]) as k (saga_id, run_id)
cross join lateral (
	select * from phantom.saga c
	where c.tenant_id = $1 and c.generation = $2 and c.to_position is null
		and c.saga_id = k.saga_id and c.run_id = k.run_id
	offset 0) as s`

// Apply folds a batch into the sagas' rows.
func (Sagas) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var ids, runs []string
	for _, run := range keys(facts, runOf) {
		ids, runs = append(ids, run[0]), append(runs, run[1])
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []sagaRow
	collect(&ask.Batch, &rows, loadSagasSQL, s.tenant, s.generation, ids, runs)
	return func(write *projection.Rows) error {
		fold := sagaFold{newHistory[sagaRow](table{"saga", []string{"saga_id", "run_id"}}, s, rows)}
		for _, fact := range facts {
			fold.apply(fact)
		}
		return fold.write(write)
	}, nil
}

// runOf is the run that an event comes from, if it is one of a saga.
func runOf(r recorded) ([2]string, bool) {
	return [2]string{r.Metadata.WorkflowID, r.Metadata.RunID}, r.Metadata.WorkflowID != ""
}

type sagaFold struct {
	*history[sagaRow, *sagaRow]
}

func (f sagaFold) apply(r recorded) {
	run, ofSaga := runOf(r)
	if !ofSaga {
		return
	}
	key := (&sagaRow{SagaID: run[0], RunID: run[1]}).key()
	row, known := f.get(key)
	former := row
	if !known {
		row = sagaRow{
			SagaID: run[0], RunID: run[1], Kind: sagaKind(r), ModelID: r.model, State: SagaRunning,
			StartedPosition: r.Position, StartedAt: r.OccurredAt, StartedBy: r.by(),
		}
		if row.Kind == "" {
			return
		}
	}
	row.evolve(r)
	if !known || row != former {
		f.put(row, r.Position)
	}
}

// sagaKind is told by the id, as sagas' ids speak; else by what it does first.
func sagaKind(r recorded) string {
	prefix, _, _ := strings.Cut(r.Metadata.WorkflowID, ":")
	switch prefix {
	case "train":
		return kindTrain
	case "deploy":
		return kindDeploy
	case "rollback":
		return kindRollback
	case "undeploy":
		return kindUndeploy
	}
	switch r.Event.(type) {
	case domain.TrainingStarted:
		return kindTrain
	case domain.RolloutStarted:
		return kindDeploy
	case domain.RolloutRolledBack, domain.ModelDeployed:
		return kindRollback
	case domain.ModelUndeployed:
		return kindUndeploy
	default:
		return ""
	}
}

// evolve takes from an event what the saga is about, and whether it ends it. Where a saga does more
// after such an event (a training that deploys), only Temporal knows.
func (s *sagaRow) evolve(r recorded) {
	switch e := r.Event.(type) {
	case domain.TrainingFailed:
		state := SagaFailed
		if e.FailureReason == domain.FailureCancelled {
			state = SagaCanceled
		}
		s.end(r, kindTrain, state, string(e.FailureReason))
	case domain.CandidateEvaluated:
		if !e.Passed {
			s.end(r, kindTrain, SagaCompleted, "gate_not_met")
		}
	case domain.ApprovalDecided:
		if e.Decision == domain.Rejected {
			s.end(r, kindTrain, SagaCompleted, "rejected")
		}
	case domain.ModelVersionCreated:
		s.Version = &e.Version
		s.end(r, kindTrain, SagaCompleted, "registered")
	case domain.RolloutStarted:
		s.Target, s.Version = e.Target, &e.Version
	case domain.RolloutPromoted:
		s.end(r, kindDeploy, SagaCompleted, "promoted")
	case domain.RolloutRolledBack:
		s.end(r, kindDeploy, SagaCompleted, "rolled_back")
	case domain.ModelDeployed:
		s.Target, s.Version = e.DeploymentTarget, &e.Version
		s.end(r, kindRollback, SagaCompleted, "rolled_back")
	case domain.ModelUndeployed:
		s.Target = e.DeploymentTarget
		s.end(r, kindUndeploy, SagaCompleted, "undeployed")
	default:
	}
}

func (s *sagaRow) end(r recorded, kind string, state SagaState, outcome string) {
	if s.Kind == kind {
		s.State, s.Outcome, s.EndedAt = state, outcome, &r.OccurredAt
	}
}
