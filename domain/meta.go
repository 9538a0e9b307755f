package domain

import "time"

// Auth tells how an actor proved who they are.
type Auth string

// The ways to act. What arrives by Temporal's own tools is a claim, and is recorded as one.
const (
	AuthAPIKey   Auth = "api_key"
	AuthTemporal Auth = "temporal"
	AuthLocal    Auth = "local"
)

// Actor is who asked for a command.
type Actor struct {
	Subject  string `json:"subject"`
	Auth     Auth   `json:"auth"`
	Verified bool   `json:"verified"`
}

// Meta travels with a command: who asks, under which id, and because of what.
type Meta struct {
	// CommandID makes the command idempotent: the same id with the same content returns the first
	// result, with other content it is ErrIdempotencyMismatch. Empty means a new random id.
	CommandID     string `json:"command_id"`
	Actor         Actor  `json:"actor"`
	CausationID   string `json:"causation_id,omitempty"`   // id of the event or request that caused it
	CorrelationID string `json:"correlation_id,omitempty"` // one value for all events of a saga or request
	WorkflowID    string `json:"workflow_id,omitempty"`
	RunID         string `json:"run_id,omitempty"`
	Trace         string `json:"trace,omitempty"` // W3C traceparent
	// At is when the fact occurred for the caller; zero means when it is handled. It is not part of
	// the request hash.
	At time.Time `json:"at,omitzero"`
	// Expect is the revision that the caller believes the written stream has; nil means any, and lets
	// the registry decide again after a conflict.
	Expect *int64 `json:"expect,omitempty"`
}

// EventMetadata is stored with each event, as JSON.
type EventMetadata struct {
	Actor      Actor  `json:"actor"`
	CommandID  string `json:"command_id"`
	WorkflowID string `json:"workflow_id,omitempty"`
	RunID      string `json:"run_id,omitempty"`
	Trace      string `json:"trace,omitempty"`
}

// Result is what a handled command did. A command that changed nothing has no events; Revision is then
// the stream's present revision, and Position that of the stream's last event.
type Result struct {
	Revision int64      `json:"revision"`
	Position int64      `json:"position"`
	Events   []Recorded `json:"-"`
}

// Recorded is an event with its place in history.
type Recorded struct {
	Event      Event
	Stream     StreamID
	Revision   int64 // in its stream: 1, 2, 3, …
	Position   int64 // in its tenant's log: 1, 2, 3, …
	OccurredAt time.Time
	RecordedAt time.Time
	Metadata   EventMetadata
}
