package access

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"phantom/domain"
)

// Kind is what happened.
type Kind string

// The kinds of events of the trail.
const (
	KeyCreated   Kind = "key_created"
	KeyRevoked   Kind = "key_revoked"
	AccessDenied Kind = "access_denied"
)

// KeyEvent is a line of the trail.
type KeyEvent struct {
	EventID    uuid.UUID `json:"event_id"`
	Kind       Kind      `json:"kind" enum:"key_created,key_revoked,access_denied"`
	KeyID      string    `json:"key_id"`
	DoneBy     string    `json:"done_by" doc:"Who did it; of a refusal, the name of the key"`
	Operation  string    `json:"operation" doc:"What was refused, else empty"`
	Reason     string    `json:"reason" doc:"Why it was refused; of a change, the key's role and name"`
	Count      int64     `json:"count" doc:"Refusals alike since the last line about them"`
	RecordedAt time.Time `json:"recorded_at"`
}

func record(ctx context.Context, tx pgx.Tx, tenant domain.Tenant, e KeyEvent) error {
	const statement = `insert into phantom.access_event (tenant_id, event_id, kind, key_id, done_by, operation, reason)
		values ($1, $2, $3, $4, $5, $6, $7)`
	_, err := tx.Exec(ctx, statement, string(tenant), newEventID(), string(e.Kind), e.KeyID, e.DoneBy, e.Operation, e.Reason)
	return err
}

// Trail is what happened to the keys of a tenant, the newest first, before an event (uuid.Max: from the newest),
// at most limit; more says whether there is older.
func (k *Keys) Trail(ctx context.Context, tenant domain.Tenant, before uuid.UUID, limit int) (events []KeyEvent, more bool, err error) {
	err = k.within(ctx, tenant, func(ctx context.Context, tx pgx.Tx) error {
		const query = `select event_id, kind, key_id, done_by, operation, reason, count, recorded_at
			from phantom.access_event where tenant_id = $1 and event_id < $2 order by event_id desc limit $3`
		rows, err := tx.Query(ctx, query, string(tenant), before, limit+1)
		if err == nil {
			events, err = pgx.CollectRows(rows, pgx.RowToStructByName[KeyEvent])
		}
		return err
	})
	if len(events) > limit {
		events, more = events[:limit], true
	}
	return events, more, err
}
