package readmodel

import (
	"time"

	"phantom/domain"
)

// SagaState is what events tell of a saga. One that was terminated leaves no event, and is running here.
type SagaState string

// The states of a saga.
const (
	SagaRunning   SagaState = "running"
	SagaCompleted SagaState = "completed"
	SagaFailed    SagaState = "failed"
	SagaCanceled  SagaState = "canceled"
)

// Saga is one run of a saga.
type Saga struct {
	SagaID  string          `json:"saga_id"`
	RunID   string          `json:"run_id"`
	Kind    string          `json:"kind"` // TrainModel, DeployModel, …
	ModelID domain.ModelID  `json:"model_id"`
	Target  domain.Target   `json:"target"` // empty for one without
	Version *domain.Version `json:"version"`
	State   SagaState       `json:"state"`
	// Outcome is that of the saga's result: registered, gate_not_met, rejected, promoted, rolled_back, …;
	// empty while it runs.
	Outcome   string     `json:"outcome"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	// Live says that the caller's SagaFilter named it as running.
	Live bool `json:"-"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// SagaFilter narrows ListSagas; what is empty does not narrow.
type SagaFilter struct {
	Kind    string
	ModelID domain.ModelID
	// State takes with closed states also sagas that no event has ended and that are not live: what became
	// of them only Temporal knows.
	State string
	// Live are the runs that are known to run, in the same filter; those without an event yet are listed
	// too. Nil means that nobody knows, and then the events alone tell.
	Live []Saga
}
