package eventstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Want names a stream to fetch, as of now, or as of a revision or a position.
type Want struct {
	Stream Stream
	// Fingerprint is that of the snapshots that the caller can read; empty means none, and so the whole stream.
	Fingerprint string
	To          int64 // last revision, inclusive; 0 means the end
	Through     int64 // last position, inclusive; 0 means the end
}

// Whole wants all events of streams.
func Whole(streams ...Stream) []Want {
	wants := make([]Want, len(streams))
	for i, stream := range streams {
		wants[i].Stream = stream
	}
	return wants
}

// History is a stream as it was fetched: the newest snapshot that fits, or nil, and the events that follow it.
type History struct {
	Snapshot *Snapshot
	Events   []Event
}

// Revision is that of the stream's end; 0 when it does not exist.
func (h History) Revision() int64 {
	switch {
	case len(h.Events) > 0:
		return h.Events[len(h.Events)-1].AggregateVersion
	case h.Snapshot != nil:
		return h.Snapshot.Revision
	}
	return 0
}

// Position is that of the stream's last event; 0 when it does not exist.
func (h History) Position() int64 {
	switch {
	case len(h.Events) > 0:
		return h.Events[len(h.Events)-1].Position
	case h.Snapshot != nil:
		return h.Snapshot.Position
	}
	return 0
}

// Fetch reads streams, in the order asked for, and what is known of a command, in one round trip. Of a stream it reads
// the newest snapshot that has the fingerprint and fits the stream, and the events after it. The command comes last and
// sees what was committed after the streams were read: a racing first attempt is either in the streams, or known, or
// makes the append conflict. Without a command id, or when it is not known, the record is nil.
func (s *Store) Fetch(ctx context.Context, tenant string, log Log, wants []Want, commandID string) ([]History, *CommandRecord, error) {
	const command = `select command_id, request_hash, result from phantom.commands where tenant_id = $1 and command_id = $2`
	if err := place(tenant, log); err != nil {
		return nil, nil, err
	}
	fetched := make([]History, len(wants))
	batch := asTenant(tenant)
	for i, want := range wants {
		want.queue(batch, tenant, log, &fetched[i])
	}
	var known []CommandRecord
	if commandID != "" {
		batch.Queue(command, tenant, commandID).Query(func(rows pgx.Rows) (err error) {
			known, err = pgx.CollectRows(rows, toCommand)
			return err
		})
	}
	if err := s.send(ctx, batch); err != nil {
		return nil, nil, fmt.Errorf("fetch %d streams and command %q of tenant %s: %w", len(wants), commandID, tenant, err)
	}
	if len(known) == 0 {
		return fetched, nil, nil
	}
	return fetched, &known[0], nil
}

// queue reads one stream. The snapshot and what follows it are one statement, so that no snapshot that is stored or
// removed meanwhile can come between them. Its row comes first, as an event of version 0, which no event has. "offset 0"
// keeps the look at the event a lookup by its key; as a join it may be planned as a scan of the stream. The coalesce stands
// within its subquery: outside, row-level security takes it for leaky, and the stream is read from its beginning.
func (w Want) queue(batch *pgx.Batch, tenant string, log Log, into *History) {
	const whole = `select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and aggregate_version <= $4 and position <= $5
		order by aggregate_version`
	const shortened = `with snapshot as materialized (
			select s.aggregate_version, s.position, s.state from lifecycle.snapshots s
			where s.tenant_id = $1 and s.aggregate_type = $2 and s.aggregate_id = $3 and s.fingerprint = $6
				and s.aggregate_version <= $4 and s.position <= $5
				and exists (select from lifecycle.events e
					where e.tenant_id = $1 and e.aggregate_type = $2 and e.aggregate_id = $3
						and e.aggregate_version = s.aggregate_version and e.position = s.position offset 0)
			order by s.aggregate_version desc limit 1)
		select position, '00000000-0000-0000-0000-000000000000'::uuid, $1, $2, $3, aggregate_version, '', 0,
			state, '{}'::json, 'epoch'::timestamptz, 'epoch'::timestamptz, null, null, ''::bytea
		from snapshot
		union all
		select ` + envelope + ` from lifecycle.events
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and aggregate_version <= $4 and position <= $5
			and aggregate_version > (select coalesce(max(aggregate_version), 0) from snapshot)
		order by aggregate_version`
	query, args := whole, []any{tenant, w.Stream.Type, w.Stream.ID, orEnd(w.To), orEnd(w.Through)}
	if w.Fingerprint != "" {
		query, args = shortened, append(args, w.Fingerprint)
	}
	batch.Queue(log.in(query), args...).Query(func(rows pgx.Rows) (err error) {
		into.Events, err = pgx.CollectRows(rows, toRow)
		if err == nil && len(into.Events) > 0 && into.Events[0].EventVersion == 0 {
			into.Snapshot = w.snapshot(into.Events[0])
			into.Events = into.Events[1:]
		}
		return err
	})
}

// toRow is toEvent but for the row of a snapshot.
func toRow(row pgx.CollectableRow) (Event, error) {
	e, err := scanEvent(row)
	if err != nil || e.EventVersion == 0 {
		return e, err
	}
	return e, e.Verify()
}

func (w Want) snapshot(row Event) *Snapshot {
	return &Snapshot{
		Stream: w.Stream, Fingerprint: w.Fingerprint, Revision: row.AggregateVersion, Position: row.Position,
		State: row.EventData,
	}
}
