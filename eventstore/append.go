package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// What the append functions answer, see migrations/007_append_one.sql.
const (
	outcomeAppended         = "appended"
	outcomeRepeated         = "repeated"
	outcomeGuarded          = "guarded"
	outcomeWrongVersion     = "wrong_version"
	outcomeDuplicateEvent   = "duplicate_event"
	outcomeDuplicateCommand = "duplicate_command"
)

// Append appends to all streams or to none, in one round trip, and answers in the order of the streams. Positions
// follow the order given. Decided in this order:
//
//  1. The events of all streams stand there already, each stream's one after the other in this order: their first
//     result with Repeated, whatever the expectations; unless the command is known with another request hash.
//  2. The command is known: ErrDuplicateCommand.
//  3. An event id stands in another stream: ErrDuplicateEvent.
//  4. Only some events stand there, or an expectation does not hold: a *Conflict, which is an ErrWrongVersion.
//  5. The events are appended and the command is remembered, also without events and without streams.
//
// ErrMalformed comes before all of them. After any other error it is unknown whether the events were appended: repeat
// the call with the same ids.
func (s *Store) Append(ctx context.Context, tenant string, log Log, appends []Append, cmd *CommandRecord) ([]Appended, error) {
	if err := Validate(tenant, log, appends, cmd); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	giveBack, err := s.turns.take(ctx, tenant, log)
	if err != nil {
		return nil, fmt.Errorf("append to the %s log of tenant %s, behind others of the tenant: %w", log, tenant, err)
	}
	defer giveBack()
	done, err := s.call(ctx, tenant, log, appends, cmd)
	if err != nil {
		return nil, fmt.Errorf("append to the %s log of tenant %s: %w", log, tenant, err)
	}
	if position := newest(done); position > 0 {
		s.news[log].send(tenant, position)
	}
	return done, nil
}

func (s *Store) call(ctx context.Context, tenant string, log Log, appends []Append, cmd *CommandRecord) ([]Appended, error) {
	if len(appends) == 1 && !appends[0].SkipStored {
		return s.appendOne(ctx, tenant, log, appends[0], cmd)
	}
	return s.appendMany(ctx, tenant, log, appends, cmd)
}

func (s *Store) appendOne(ctx context.Context, tenant string, log Log, a Append, cmd *CommandRecord) ([]Appended, error) {
	const query = `select outcome, stream_revision, log_position, recorded
		from lifecycle.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
	from, to := a.Expect.bounds()
	args := []any{tenant, a.Stream.Type, a.Stream.ID, from, to}
	args = append(args, columnsOf(tenant, a).args()...)
	args = append(args, cmd.args()...)
	var row answer
	if err := s.pool.QueryRow(ctx, log.in(query), args...).Scan(&row.outcome, &row.revision, &row.position, &row.recorded); err != nil {
		return nil, err
	}
	done, err := row.appended(a, cmd)
	if err != nil {
		return nil, err
	}
	return []Appended{done}, nil
}

func (s *Store) appendMany(ctx context.Context, tenant string, log Log, appends []Append, cmd *CommandRecord) ([]Appended, error) {
	const query = `select stream, outcome, stream_revision, log_position, recorded, skipped
		from lifecycle.append_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`
	streams := streamColumns{}
	columns := eventColumns{}
	for i, a := range appends {
		streams.add(a)
		given, _ := distinct(a)
		for _, e := range given {
			streams.ofEvent = append(streams.ofEvent, int32(i)+1)
			columns.add(tenant, a.Stream, e)
		}
	}
	args := append([]any{tenant}, streams.args()...)
	args = append(args, columns.args()...)
	args = append(args, cmd.args()...)
	rows, err := s.pool.Query(ctx, log.in(query), args...)
	if err != nil {
		return nil, err
	}
	answers, err := pgx.CollectRows(rows, toAnswer)
	if err != nil {
		return nil, err
	}
	done := make([]Appended, len(answers))
	for i, row := range answers {
		if done[i], err = row.appended(appendAt(appends, row.stream), cmd); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// answer is one row of what the functions answer.
type answer struct {
	stream   int32 // number from 1
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

// appendAt finds the stream of an answer. A command without streams is answered for none.
func appendAt(appends []Append, number int32) Append {
	if i := int(number) - 1; i < len(appends) {
		return appends[i]
	}
	return Append{}
}

// appended is the outcome as the caller sees it: a result, or the error that it means.
func (r answer) appended(a Append, cmd *CommandRecord) (Appended, error) {
	switch r.outcome {
	case outcomeAppended, outcomeRepeated, outcomeGuarded:
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

// streamColumns are the streams of a call, a slice a column.
type streamColumns struct {
	types, ids []string
	from, to   []int64
	skip       []bool
	ofEvent    []int32 // of each event the number of its stream, from 1
}

func (c *streamColumns) add(a Append) {
	from, to := a.Expect.bounds()
	c.types = append(c.types, a.Stream.Type)
	c.ids = append(c.ids, a.Stream.ID)
	c.from = append(c.from, from)
	c.to = append(c.to, to)
	c.skip = append(c.skip, a.SkipStored)
}

func (c *streamColumns) args() []any {
	return []any{orEmpty(c.types), orEmpty(c.ids), orEmpty(c.from), orEmpty(c.to), orEmpty(c.skip), orEmpty(c.ofEvent)}
}

// eventColumns are the events of a call, a slice a column.
type eventColumns struct {
	ids                    []pgtype.UUID
	types                  []string
	versions               []int32
	data, metadata         []string
	occurred               []time.Time
	causation, correlation []*string
	digests                [][]byte
}

func columnsOf(tenant string, a Append) *eventColumns {
	c := &eventColumns{}
	for _, e := range a.Events {
		c.add(tenant, a.Stream, e)
	}
	return c
}

func (c *eventColumns) add(tenant string, stream Stream, e NewEvent) {
	e = e.normal()
	digest := Digest(tenant, stream, e)
	c.ids = append(c.ids, pgtype.UUID{Bytes: e.ID, Valid: true})
	c.types = append(c.types, e.Type)
	c.versions = append(c.versions, int32(e.Version))
	c.data = append(c.data, string(e.Data))
	c.metadata = append(c.metadata, string(e.Metadata))
	c.occurred = append(c.occurred, e.OccurredAt)
	c.causation = append(c.causation, orNull(e.CausationID))
	c.correlation = append(c.correlation, orNull(e.CorrelationID))
	c.digests = append(c.digests, digest[:])
}

func (c *eventColumns) args() []any {
	return []any{
		orEmpty(c.ids), orEmpty(c.types), orEmpty(c.versions), orEmpty(c.data), orEmpty(c.metadata),
		orEmpty(c.occurred), orEmpty(c.causation), orEmpty(c.correlation), orEmpty(c.digests),
	}
}

func (c *CommandRecord) args() []any {
	if c == nil {
		return []any{nil, nil, nil}
	}
	result := string(c.Result)
	if result == "" {
		result = "null"
	}
	return []any{c.ID, c.RequestHash, result}
}

// orEmpty keeps a nil slice from becoming a null array.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
