package eventstore

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The envelope's columns in the order of toEvent.
const envelope = `position, event_id, tenant_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_version,
	event_data, metadata, occurred_at, recorded_at, causation_id, correlation_id, digest`

// Load reads a stream's events in the order of their revisions. A stream that does not exist has none. ErrCorrupt when an
// event is not what was appended.
func (s *Store) Load(ctx context.Context, tenant string, log Log, stream Stream, r Range) ([]Event, error) {
	const forward = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and aggregate_version between $4 and $5
		order by aggregate_version limit $6`
	const backward = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and aggregate_version between $4 and $5
		order by aggregate_version desc limit $6`
	if err := place(tenant, log); err != nil {
		return nil, err
	}
	query := forward
	if r.Backward {
		query = backward
	}
	to, limit := r.To, int64(r.Limit)
	if to == 0 {
		to = math.MaxInt64
	}
	if limit == 0 {
		limit = math.MaxInt64
	}
	var events []Event
	batch := asTenant(tenant)
	batch.Queue(log.in(query), tenant, stream.Type, stream.ID, r.From, to, limit).Query(into(&events))
	if err := s.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("load stream %s %s of tenant %s: %w", stream.Type, stream.ID, tenant, err)
	}
	return events, nil
}

// Fetch reads whole streams, in the order asked for, and what is known of a command, in one round trip. The command
// comes last and sees what was committed after the streams were read: a racing first attempt is either in the streams,
// or known, or makes the append conflict. Without a command id, or when it is not known, the record is nil.
func (s *Store) Fetch(ctx context.Context, tenant string, log Log, streams []Stream, commandID string) ([][]Event, *CommandRecord, error) {
	const stream = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 order by aggregate_version`
	const command = `select command_id, request_hash, result from phantom.commands where tenant_id = $1 and command_id = $2`
	if err := place(tenant, log); err != nil {
		return nil, nil, err
	}
	loaded := make([][]Event, len(streams))
	batch := asTenant(tenant)
	for i, name := range streams {
		batch.Queue(log.in(stream), tenant, name.Type, name.ID).Query(into(&loaded[i]))
	}
	var known []CommandRecord
	if commandID != "" {
		batch.Queue(command, tenant, commandID).Query(func(rows pgx.Rows) (err error) {
			known, err = pgx.CollectRows(rows, toCommand)
			return err
		})
	}
	if err := s.send(ctx, batch); err != nil {
		return nil, nil, fmt.Errorf("fetch %d streams and command %q of tenant %s: %w", len(streams), commandID, tenant, err)
	}
	if len(known) == 0 {
		return loaded, nil, nil
	}
	return loaded, &known[0], nil
}

// Head is the position of the last event of a tenant's log; 0 when there is none.
func (s *Store) Head(ctx context.Context, tenant string, log Log) (int64, error) {
	const query = `select coalesce(
		(select position from lifecycle.events where tenant_id = $1 order by position desc limit 1),
		(select first_position - 1 from lifecycle.heads where tenant_id = $1), 0)`
	if err := place(tenant, log); err != nil {
		return 0, err
	}
	var head int64
	batch := asTenant(tenant)
	batch.Queue(log.in(query), tenant).QueryRow(func(row pgx.Row) error { return row.Scan(&head) })
	if err := s.send(ctx, batch); err != nil {
		return 0, fmt.Errorf("read the head of the %s log of tenant %s: %w", log, tenant, err)
	}
	return head, nil
}

// ReadLog reads at most limit events of a tenant after a position, of the types (all when there are none), in the order
// of their positions.
func (s *Store) ReadLog(ctx context.Context, tenant string, log Log, after int64, types []string, limit int) ([]Event, error) {
	const query = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and position > $2 and ($3::text[] is null or event_type = any ($3)) order by position limit $4`
	if err := place(tenant, log); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, malformed("a limit of %d events", limit)
	}
	var events []Event
	batch := asTenant(tenant)
	batch.Queue(log.in(query), tenant, after, orAll(types), limit).Query(into(&events))
	if err := s.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("read the %s log of tenant %s after %d: %w", log, tenant, after, err)
	}
	return events, nil
}

// place refuses what would be the name of no log.
func place(tenant string, log Log) error {
	if !log.valid() {
		return malformed("log %q: it is lifecycle or inference", log)
	}
	if !readable(tenant) {
		return malformed("tenant %q", tenant)
	}
	return nil
}

// into collects a statement's events.
func into(events *[]Event) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*events, err = pgx.CollectRows(rows, toEvent)
		return err
	}
}

func toEvent(row pgx.CollectableRow) (Event, error) {
	e, err := scanEvent(row)
	if err != nil {
		return Event{}, err
	}
	return e, e.Verify()
}

// scanEvent leaves it to its caller to verify the event.
func scanEvent(row pgx.CollectableRow) (Event, error) {
	var e Event
	// The payloads are scanned as bytes: as json.RawMessage they would be parsed, and lose their outer white space.
	err := row.Scan(&e.Position, &e.EventID, &e.TenantID, &e.AggregateType, &e.AggregateID, &e.AggregateVersion,
		&e.EventType, &e.EventVersion, (*[]byte)(&e.EventData), (*[]byte)(&e.Metadata), &e.OccurredAt, &e.RecordedAt,
		&e.CausationID, &e.CorrelationID, &e.Digest)
	if err != nil {
		return Event{}, err
	}
	e.OccurredAt, e.RecordedAt = e.OccurredAt.UTC(), e.RecordedAt.UTC()
	return e, nil
}

func toCommand(row pgx.CollectableRow) (CommandRecord, error) {
	var c CommandRecord
	err := row.Scan(&c.ID, &c.RequestHash, (*[]byte)(&c.Result))
	return c, err
}

func ignoreTag(pgconn.CommandTag) error { return nil }

// orAll makes no types the null that the statements take for all types.
func orAll(types []string) []string {
	if len(types) == 0 {
		return nil
	}
	return types
}
