package readmodel

import (
	"encoding/json"
	"errors"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// rolloutRow is a row of phantom.rollout.
type rolloutRow struct {
	placed

	ModelID         domain.ModelID   `json:"model_id"`
	RolloutID       domain.RolloutID `json:"rollout_id"`
	StartedPosition int64            `json:"started_position"`
	SagaID          string           `json:"saga_id"`
	Version         domain.Version   `json:"version"`
	PreviousVersion *domain.Version  `json:"previous_version"`
	Target          domain.Target    `json:"target"`
	State           RolloutState     `json:"state"`
	Strategy        json.RawMessage  `json:"strategy"`
	ObserveAfter    int64            `json:"observe_after"`
	Approval        *Approval        `json:"approval"`
	ApprovalState   *ApprovalState   `json:"approval_state"`
	StartedAt       time.Time        `json:"started_at"`
	StartedBy       domain.Actor     `json:"started_by"`
	EndedAt         *time.Time       `json:"ended_at"`
	Reason          string           `json:"reason"`
}

func (t *rolloutRow) key() string { return childKey(t.ModelID, string(t.RolloutID)) }
func (t *rolloutRow) keys() []any { return []any{t.ModelID, t.RolloutID} }

// rolloutPart is what a row of phantom.rollout_traffic and one of phantom.rollout_verdict have in common.
type rolloutPart struct {
	TenantID   string           `json:"tenant_id"`
	Generation int              `json:"generation"`
	ModelID    domain.ModelID   `json:"model_id"`
	RolloutID  domain.RolloutID `json:"rollout_id"`
	Position   int64            `json:"position"`
	At         time.Time        `json:"at"`
}

// Tenant implements projection.Row.
func (p rolloutPart) Tenant() string { return p.TenantID }

type trafficRow struct {
	rolloutPart

	RouteGeneration int64          `json:"route_generation"`
	Weights         domain.Traffic `json:"weights"`
}

type verdictRow struct {
	rolloutPart

	Assessment domain.RolloutAssessed `json:"assessment"`
}

const rolloutColumns = `r.model_id, r.rollout_id, r.started_position, r.saga_id, r.version,
	r.previous_version, r.target, r.state, r.strategy, r.observe_after, r.approval, r.approval_state,
	r.started_at, r.started_by, r.ended_at, r.reason`

// Rollouts is the projection of rollouts with their shifts and verdicts.
type Rollouts struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Rollouts) Name() string { return RolloutsName }

// Log is the lifecycle log.
func (Rollouts) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are all events of a rollout.
func (Rollouts) Types() []string {
	return types(
		domain.RolloutStarted{}, domain.RolloutPromoted{}, domain.RolloutRolledBack{},
		domain.TrafficShifted{}, domain.RolloutAssessed{}, domain.ApprovalRequested{},
		domain.ApprovalDecided{})
}

// Tables are all that it writes.
func (Rollouts) Tables() []projection.Table {
	return []projection.Table{{Name: "rollout", Kind: projection.History}, {Name: "rollout_traffic", Kind: projection.Appended}, {Name: "rollout_verdict", Kind: projection.Appended}}
}

// Apply folds a batch into the rollouts' rows.
func (Rollouts) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	rollouts := keys(facts, rolloutOf)
	if len(rollouts) == 0 {
		return nil, nil
	}
	var rows []rolloutRow
	lookUp(ask, &rows, ofChildren("rollout", "rollout_id", "r.from_position, "+rolloutColumns, "r"), s, rollouts)
	return func(write *projection.Rows) error {
		fold := rolloutFold{
			scope:   s,
			history: newHistory[rolloutRow](table{"rollout", []string{"model_id", "rollout_id"}}, s, rows),
		}
		if err := inOrder(facts, fold.apply); err != nil {
			return err
		}
		return errors.Join(fold.write(write), store(write, "rollout_traffic", fold.shifts), store(write, "rollout_verdict", fold.verdicts))
	}, nil
}

// rolloutOf is the key of the rollout that an event changes, if it changes one.
func rolloutOf(r recorded) (string, bool) {
	var rollout domain.RolloutID
	switch e := r.Event.(type) {
	case domain.RolloutStarted:
		rollout = e.RolloutID
	case domain.RolloutPromoted:
		rollout = e.RolloutID
	case domain.RolloutRolledBack:
		rollout = e.RolloutID
	default:
		if r.Stream.Type == domain.TypeRollout {
			rollout = domain.RolloutID(r.child())
		}
	}
	return childKey(r.model, string(rollout)), rollout != ""
}

type rolloutFold struct {
	*history[rolloutRow, *rolloutRow]

	scope    scope
	shifts   []trafficRow
	verdicts []verdictRow
}

func (f *rolloutFold) apply(r recorded) error {
	key, changes := rolloutOf(r)
	if !changes {
		return nil
	}
	if e, ok := r.Event.(domain.RolloutStarted); ok {
		f.put(newRolloutRow(r, e), r.Position)
		return nil
	}
	row, known := f.get(key)
	if !known {
		return missing("rollout", key)
	}
	part := rolloutPart{
		TenantID: f.scope.tenant, Generation: f.scope.generation,
		ModelID: row.ModelID, RolloutID: row.RolloutID, Position: r.Position, At: r.OccurredAt,
	}
	switch e := r.Event.(type) {
	case domain.TrafficShifted:
		f.shifts = append(f.shifts, trafficRow{part, e.RouteGeneration, e.Weights})
		return nil
	case domain.RolloutAssessed:
		f.verdicts = append(f.verdicts, verdictRow{part, e})
		return nil
	default:
	}
	if err := row.evolve(r); err != nil {
		return err
	}
	f.put(row, r.Position)
	return nil
}

func newRolloutRow(r recorded, e domain.RolloutStarted) rolloutRow {
	return rolloutRow{
		ModelID: r.model, RolloutID: e.RolloutID, StartedPosition: r.Position,
		SagaID: r.Metadata.WorkflowID, Version: e.Version, PreviousVersion: given(e.PreviousVersion),
		Target: e.Target, State: RolloutRunning, Strategy: e.Strategy, ObserveAfter: e.ObserveAfter,
		StartedAt: r.OccurredAt, StartedBy: r.by(),
	}
}

// evolve changes what the event changes; shifts and verdicts are kept elsewhere.
func (t *rolloutRow) evolve(r recorded) error {
	switch e := r.Event.(type) {
	case domain.RolloutPromoted:
		t.finish(r, RolloutPromoted, e.Reason)
	case domain.RolloutRolledBack:
		t.finish(r, RolloutRolledBack, e.Reason)
	default:
		approval, err := approve(t.Approval, r)
		if err != nil {
			return err
		}
		t.Approval, t.ApprovalState = approval, stateOf(approval)
	}
	return nil
}

// finish ends the rollout; what nobody decided is moot.
func (t *rolloutRow) finish(r recorded, state RolloutState, reason string) {
	t.State, t.EndedAt, t.Reason = state, &r.OccurredAt, reason
	if t.Approval != nil && t.Approval.State == ApprovalWaiting {
		moot := *t.Approval
		moot.State = ApprovalMoot
		t.Approval, t.ApprovalState = &moot, &moot.State
	}
}
