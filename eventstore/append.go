package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// What the append functions answer, see migrations/013_append_one.sql.
const (
	outcomeAppended         = "appended"
	outcomeRepeated         = "repeated"
	outcomeGuarded          = "guarded"
	outcomeBusy             = "busy"
	outcomeWrongVersion     = "wrong_version"
	outcomeDuplicateEvent   = "duplicate_event"
	outcomeDuplicateCommand = "duplicate_command"
)

// Append appends to all streams or to none, and answers in the order of the streams. Positions follow the order given. It
// takes one round trip, shared with others of the process that wait at the same time; more only for what was left out of
// such a one, for a head that is held, and for an event or command that is known although an exact expectation holds.
// Decided in this order:
//
//  1. The events of all streams stand there already, each stream's one after the other in this order: their first
//     result with Repeated, whatever the expectations; unless the command is known with another request hash.
//  2. The command is known: ErrDuplicateCommand.
//  3. An event id stands in another stream: ErrDuplicateEvent.
//  4. Only some events stand there, or an expectation does not hold: a *Conflict, which is an ErrWrongVersion.
//  5. The events are appended and the command is remembered, also without events and without streams.
//
// ErrMalformed and ErrTooLarge come before all of them. After any other error it is unknown whether the events were appended: repeat
// the call with the same ids.
func (s *Store) Append(ctx context.Context, tenant string, log Log, appends []Append, cmd *CommandRecord) ([]Appended, error) {
	if err := Validate(tenant, log, appends, cmd); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	done, err := s.ways[log].do(ctx, tenant, func() *call { return newCall(tenant, log, appends, cmd) })
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("append to the %s log of tenant %s, behind others: %w", log, tenant, err)
	}
	return done, err
}

// answer is one row of what the functions answer.
type answer struct {
	stream   int32 // number from 1; 0 for a busy head
	outcome  string
	revision *int64
	position *int64
	recorded *time.Time
	skipped  []uuid.UUID
}

func toAnswer(row pgx.CollectableRow) (answer, error) {
	var a answer
	err := row.Scan(&a.stream, &a.outcome, &a.revision, &a.position, &a.recorded, &a.skipped)
	return a, err
}

// appendAt finds the stream of an answer. A command without streams and a busy head are answered for none.
func appendAt(appends []Append, number int32) Append {
	if i := int(number) - 1; i >= 0 && i < len(appends) {
		return appends[i]
	}
	return Append{}
}

// appended is the outcome as the caller sees it: a result, or the error that it means.
func (r answer) appended(a Append, cmd *CommandRecord) (Appended, error) {
	switch r.outcome {
	case outcomeAppended, outcomeRepeated, outcomeGuarded:
	case outcomeBusy:
		return Appended{}, errBusy
	case outcomeWrongVersion:
		return Appended{}, &Conflict{Stream: a.Stream, Expected: a.Expect, Actual: *r.revision}
	case outcomeDuplicateEvent:
		return Appended{}, fmt.Errorf("stream %s %s: %w", a.Stream.Type, a.Stream.ID, ErrDuplicateEvent)
	case outcomeDuplicateCommand:
		return Appended{}, fmt.Errorf("command %s: %w", cmd.ID, ErrDuplicateCommand)
	default:
		return Appended{}, fmt.Errorf("the append function answered %q; is the schema newer than this program?", r.outcome)
	}
	done := Appended{Stream: a.Stream, Revision: *r.revision, Position: *r.position, Repeated: r.outcome == outcomeRepeated}
	if r.recorded != nil {
		done.RecordedAt = r.recorded.UTC()
	}
	if a.SkipStored {
		done.Skipped = skippedOf(a, r.skipped)
		done.Repeated = len(a.Events) > 0 && len(done.Skipped) == len(a.Events)
	}
	return done, nil
}

// distinct splits a batch into what goes to the store and what comes twice in it.
func distinct(a Append) (given []NewEvent, twice map[int]struct{}) {
	if !a.SkipStored {
		return a.Events, nil
	}
	seen := make(map[uuid.UUID]struct{}, len(a.Events))
	twice = make(map[int]struct{})
	for i, e := range a.Events {
		if _, again := seen[e.ID]; again {
			twice[i] = struct{}{}
			continue
		}
		seen[e.ID] = struct{}{}
		given = append(given, e)
	}
	return given, twice
}

// skippedOf are the ids that were left out, in the order of the batch: stored before, or twice in it.
func skippedOf(a Append, stored []uuid.UUID) []uuid.UUID {
	before := make(map[uuid.UUID]struct{}, len(stored))
	for _, id := range stored {
		before[id] = struct{}{}
	}
	_, twice := distinct(a)
	var skipped []uuid.UUID
	for i, e := range a.Events {
		_, known := before[e.ID]
		_, again := twice[i]
		if known || again {
			skipped = append(skipped, e.ID)
		}
	}
	return skipped
}

// newest is the last position that a call has appended; 0 when it appended nothing.
func newest(done []Appended) int64 {
	var last int64
	for _, d := range done {
		if !d.Repeated && !d.RecordedAt.IsZero() {
			last = max(last, d.Position)
		}
	}
	return last
}
