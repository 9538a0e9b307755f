// Package eventstore keeps append-only streams of events in PostgreSQL.
//
// What it promises: a stream's revisions and a log's positions are dense and in commit order, so a
// reader that asks for position > n never misses an event. An append that is repeated with the same
// event ids returns its first result. A conflict is an answer, never an aborted transaction.
//
// What it does not: it knows no model, decodes no payload, retries no conflict.
//
// The tenant's head row is the only lock, and it is always the first statement of an append.
package eventstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// Log is one of a tenant's two sequences of events.
type Log string

// The logs: lifecycle is kept for ever, inference by policy.
const (
	Lifecycle Log = "lifecycle"
	Inference Log = "inference"
)

// Stream names one aggregate's events within a tenant and log.
type Stream struct {
	Type string // aggregate_type
	ID   string // aggregate_id
}

// Event is the envelope: what the caller gave, and the place that the store gave it.
type Event struct {
	Position         int64           `json:"position"`
	EventID          uuid.UUID       `json:"event_id"`
	TenantID         string          `json:"tenant_id"`
	AggregateType    string          `json:"aggregate_type"`
	AggregateID      string          `json:"aggregate_id"`
	AggregateVersion int64           `json:"aggregate_version"`
	EventType        string          `json:"event_type"`
	EventVersion     int             `json:"event_version"` // of the schema
	EventData        json.RawMessage `json:"event_data"`
	Metadata         json.RawMessage `json:"metadata"`
	OccurredAt       time.Time       `json:"occurred_at"`
	RecordedAt       time.Time       `json:"recorded_at"`
	CausationID      *string         `json:"causation_id"`
	CorrelationID    *string         `json:"correlation_id"`
	Digest           []byte          `json:"digest"` // SHA-256, see Digest
}

// NewEvent is what a caller gives. OccurredAt is kept at microseconds in UTC.
type NewEvent struct {
	ID            uuid.UUID
	Type          string
	Version       int // of the schema, from 1
	Data          json.RawMessage
	Metadata      json.RawMessage
	OccurredAt    time.Time
	CausationID   string // optional
	CorrelationID string // optional
}

// Expectation is what an append believes of its stream. The zero value is Any.
type Expectation struct {
	kind     expectationKind
	revision int64
}

type expectationKind uint8

const (
	expectAny expectationKind = iota
	expectNoStream
	expectExists
	expectExact
)

// Any takes the stream as it is.
func Any() Expectation { return Expectation{kind: expectAny} }

// NoStream expects that the stream has no event.
func NoStream() Expectation { return Expectation{kind: expectNoStream} }

// Exists expects at least one event.
func Exists() Expectation { return Expectation{kind: expectExists} }

// Exact expects exactly that revision; Exact(0) is NoStream.
func Exact(revision int64) Expectation {
	if revision == 0 {
		return NoStream()
	}
	return Expectation{kind: expectExact, revision: revision}
}

// Admits tells whether a stream at the revision is as expected; a stream that does not exist is at 0.
func (e Expectation) Admits(revision int64) bool {
	from, to := e.bounds()
	return from <= revision && revision <= to
}

// bounds are the lowest and the highest revision that are as expected.
func (e Expectation) bounds() (from, to int64) {
	switch e.kind {
	case expectNoStream:
		return 0, 0
	case expectExists:
		return 1, math.MaxInt64
	case expectExact:
		return e.revision, e.revision
	case expectAny:
	}
	return 0, math.MaxInt64
}

func (e Expectation) String() string {
	switch e.kind {
	case expectNoStream:
		return "no stream"
	case expectExists:
		return "an existing stream"
	case expectExact:
		return fmt.Sprintf("revision %d", e.revision)
	case expectAny:
	}
	return "any revision"
}

// Append is one stream's part of a call. Without events it is a guard: the expectation must hold when
// the call commits.
type Append struct {
	Stream Stream
	Expect Expectation
	Events []NewEvent
	// SkipStored leaves out the events whose ids stand in the stream already, and what comes twice in Events; decided
	// under the lock, so two callers with overlapping batches store each event once. Only with Any, and not beside
	// streams with events that do not skip.
	SkipStored bool
}

// CommandRecord is remembered beside the events that a command made, or beside none.
type CommandRecord struct {
	ID          string
	RequestHash []byte
	// Result is kept for callers that come again; the store fills in nothing.
	Result json.RawMessage
}

// Appended is one stream's outcome: the revision of the stream and the position of its last event
// after the call. First positions and revisions follow from the number of events.
type Appended struct {
	Stream   Stream
	Revision int64
	Position int64
	// RecordedAt is when the events were recorded; zero for a guard and when all events were skipped.
	RecordedAt time.Time
	// Repeated is true when all events stood there already: this is their first result, or all were skipped.
	Repeated bool
	// Skipped are the ids that SkipStored left out, in the order given; Position and Revision count the others.
	Skipped []uuid.UUID
}

// ErrMalformed says that the caller gave what no stream can hold; the text names it. Nothing was appended.
var ErrMalformed = errors.New("the append is malformed")

// ErrTooLarge says that an append holds more than one may. Errors carry a *TooLarge. Nothing was appended.
var ErrTooLarge = errors.New("the append is too large")

// TooLarge is an ErrTooLarge with its numbers: split what can be split.
type TooLarge struct {
	What          string // "events in one append", "bytes in one event"
	Actual, Limit int
}

func (t *TooLarge) Error() string {
	return fmt.Sprintf("%s: %d, at most %d", t.What, t.Actual, t.Limit)
}

// Unwrap makes a TooLarge an ErrTooLarge.
func (t *TooLarge) Unwrap() error { return ErrTooLarge }

// ErrCorrupt says that a stored event is not what was appended: its digest does not fit it.
var ErrCorrupt = errors.New("a stored event does not fit its digest")

// ErrWrongVersion is a conflict: the stream is not as expected. Errors carry a *Conflict.
var ErrWrongVersion = errors.New("the stream is not at the expected revision")

// ErrDuplicateEvent says that an event id stands in another stream.
var ErrDuplicateEvent = errors.New("the event id stands in another stream")

// ErrDuplicateCommand says that a command id is known already; Fetch tells its result.
var ErrDuplicateCommand = errors.New("the command id is known already")

// Conflict is an ErrWrongVersion with its numbers.
type Conflict struct {
	Stream   Stream
	Expected Expectation
	Actual   int64 // 0 when the stream does not exist
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("stream %s %s: expected %s, it is at %d", c.Stream.Type, c.Stream.ID, c.Expected, c.Actual)
}

// Unwrap makes a Conflict an ErrWrongVersion.
func (c *Conflict) Unwrap() error { return ErrWrongVersion }

// Range selects revisions of a stream. The zero value is the whole stream, forwards.
type Range struct {
	From     int64 // first revision, inclusive; 0 means 1
	To       int64 // last revision, inclusive; 0 means the end
	Through  int64 // last position, inclusive: the stream as of that place in the log; 0 means the end
	Limit    int   // 0 means no limit
	Backward bool
}

// Cursor is a follower's place in one tenant's log.
type Cursor struct {
	Tenant string
	After  int64
}

// Page is what a follower finds after its cursor.
type Page struct {
	Tenant string
	Events []Event // of the types asked for, in the order of their positions; may be empty
	// Through is the position up to which the log was looked at: the next cursor. It is past the cursor, or Err tells why
	// not.
	Through int64
	// Err is an ErrCorrupt when the event of the types behind Through is not what was appended: the tenant's log is read
	// no further, and the other tenants' is.
	Err error
}
