package readmodel

import (
	"encoding/json"
	"time"

	"phantom/domain"
)

// RolloutState is what became of a rollout.
type RolloutState string

// The states of a rollout.
const (
	RolloutRunning    RolloutState = "running"
	RolloutPromoted   RolloutState = "promoted"
	RolloutRolledBack RolloutState = "rolled_back"
)

// Rollout is the way of a version into a target.
type Rollout struct {
	RolloutID       domain.RolloutID `json:"rollout_id"`
	ModelID         domain.ModelID   `json:"model_id"`
	SagaID          string           `json:"saga_id"`
	Version         domain.Version   `json:"version"`
	PreviousVersion *domain.Version  `json:"previous_version"` // the champion at its start
	Target          domain.Target    `json:"target"`
	State           RolloutState     `json:"state"`
	Strategy        json.RawMessage  `json:"strategy"`
	ObserveAfter    int64            `json:"observe_after"`
	Approval        *Approval        `json:"approval"`
	// Traffic and Verdicts are in log order: all of them from GetRollout, the last one in lists.
	Traffic   []TrafficShift   `json:"traffic"`
	Verdicts  []RolloutVerdict `json:"verdicts"`
	StartedAt time.Time        `json:"started_at"`
	StartedBy domain.Actor     `json:"started_by"`
	EndedAt   *time.Time       `json:"ended_at"`
	Reason    string           `json:"reason"` // why it ended
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// TrafficShift is a split of the target's traffic, from its position on.
type TrafficShift struct {
	Weights         domain.Traffic `json:"weights"`
	RouteGeneration int64          `json:"route_generation"`
	At              time.Time      `json:"at"`
	Position        int64          `json:"position"`
}

// RolloutVerdict is an assessment of the candidate, with the numbers and the rules in force.
type RolloutVerdict struct {
	domain.RolloutAssessed

	At       time.Time `json:"at"`
	Position int64     `json:"position"`
}

// RolloutFilter narrows ListRollouts; what is empty does not narrow.
type RolloutFilter struct {
	ModelID domain.ModelID
	Target  domain.Target
	Version domain.Version
	State   RolloutState
	AsOf    int64 // a position of the lifecycle log; 0 means now
}
