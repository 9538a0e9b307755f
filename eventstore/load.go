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

// Load reads a stream's events in the order of their revisions, as of now, or as of a revision or a position that the
// range names. A stream that does not exist has none. ErrCorrupt when an event is not what was appended.
func (s *Store) Load(ctx context.Context, tenant string, log Log, stream Stream, r Range) ([]Event, error) {
	if err := place(tenant, log); err != nil {
		return nil, err
	}
	var events []Event
	batch := asTenant(tenant)
	query, args := r.query(tenant, stream, "$6")
	batch.Queue(log.in(query), args...).Query(into(&events))
	if err := s.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("load stream %s %s of tenant %s: %w", stream.Type, stream.ID, tenant, err)
	}
	return events, nil
}

// query selects the range of a stream, up to the position that an SQL expression tells; $6 is that of the range.
func (r Range) query(tenant string, stream Stream, through string) (query string, args []any) {
	query = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and aggregate_version between $4 and $5
			and position <= ` + through + `
		order by aggregate_version `
	if r.Backward {
		query += `desc `
	}
	query += `limit $7`
	return query, []any{tenant, stream.Type, stream.ID, r.From, orEnd(r.To), orEnd(r.Through), orEnd(int64(r.Limit))}
}

// orEnd makes the zero value the end that it stands for.
func orEnd(bound int64) int64 {
	if bound == 0 {
		return math.MaxInt64
	}
	return bound
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
func scanEvent(row pgx.CollectableRow) (Event, error) { return scanEventAnd(row) }

// scanEventAnd scans the columns behind the envelope, too.
func scanEventAnd(row pgx.CollectableRow, behind ...any) (Event, error) {
	var e Event
	// The payloads are scanned as bytes: as json.RawMessage they would be parsed, and lose their outer white space.
	columns := []any{
		&e.Position, &e.EventID, &e.TenantID, &e.AggregateType, &e.AggregateID, &e.AggregateVersion,
		&e.EventType, &e.EventVersion, (*[]byte)(&e.EventData), (*[]byte)(&e.Metadata), &e.OccurredAt, &e.RecordedAt,
		&e.CausationID, &e.CorrelationID, &e.Digest,
	}
	if err := row.Scan(append(columns, behind...)...); err != nil {
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

// ReadAt reads the events at positions of a tenant's log, in the order of their positions; what is not there is left out.
// ErrCorrupt when an event is not what was appended.
func (s *Store) ReadAt(ctx context.Context, tenant string, log Log, positions []int64) ([]Event, error) {
	const query = `select ` + envelope + ` from lifecycle.events where tenant_id = $1 and position = any ($2) order by position`
	if err := place(tenant, log); err != nil {
		return nil, err
	}
	var events []Event
	batch := asTenant(tenant)
	batch.Queue(log.in(query), tenant, positions).Query(into(&events))
	if err := s.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("read %d events of the %s log of tenant %s: %w", len(positions), log, tenant, err)
	}
	return events, nil
}
