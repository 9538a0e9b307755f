package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"

	"github.com/jackc/pgx/v5"
)

// Snapshot is a stream's folded state at a revision. It is a shortcut and never the truth: Fetch passes over one whose
// fingerprint is another, or that does not fit the stream, and nothing is missing when there is none.
type Snapshot struct {
	Stream      Stream
	Fingerprint string // of the state's schema and of the rules that folded it; whose meaning is the caller's
	Revision    int64  // the last event that the state has in it
	Position    int64  // of that event
	State       json.RawMessage
}

// Keep tells which snapshots of a stream stay: the newest, and of the older ones the fewer the older they are, so that a
// long history keeps anchors for travels in time at the price of a few. A block is Every revisions; of those that are
// 2^n·Newest blocks old, and not yet twice that, one block in 2^n keeps its first snapshot.
type Keep struct {
	Newest int
	Every  int64
}

// Drop are the revisions, of the given ascending ones, that need not stay. It asks the more the older a snapshot is: what
// is dropped now would be dropped later, and dropping again changes nothing.
func (k Keep) Drop(revisions []int64) []int64 {
	if len(revisions) <= k.Newest {
		return nil
	}
	head := revisions[len(revisions)-1] / k.Every
	last := int64(-1)
	var drop []int64
	for _, revision := range revisions[:len(revisions)-k.Newest] {
		block := revision / k.Every
		stride := int64(1) << bits.Len64(uint64((head-block)/int64(k.Newest))>>1)
		if block == last || block%stride != 0 {
			drop = append(drop, revision)
			continue
		}
		last = block
	}
	return drop
}

// SaveSnapshot stores a snapshot beside those of the stream, and drops what need not stay. One that is there already
// stays as it is; one that does not fit the stream (there is no event of that revision and position) is not stored.
// Snapshots of other fingerprints go a month after they were made: until then an older release may still run.
func (s *Store) SaveSnapshot(ctx context.Context, tenant string, log Log, snap Snapshot, keep Keep) error {
	const insert = `insert into lifecycle.snapshots
			(tenant_id, aggregate_type, aggregate_id, fingerprint, aggregate_version, position, state)
		select $1, $2, $3, $4, $5, $6, $7::text::json
		where exists (select from lifecycle.events where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3
			and aggregate_version = $5 and position = $6)
		on conflict do nothing`
	const outlived = `delete from lifecycle.snapshots
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and fingerprint <> $4
			and created_at < clock_timestamp() - interval '30 days'`
	const list = `select aggregate_version from lifecycle.snapshots
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and fingerprint = $4 order by aggregate_version`
	const thin = `delete from lifecycle.snapshots
		where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and fingerprint = $4 and aggregate_version = any ($5)`
	if err := ValidateSnapshot(tenant, log, snap, keep); err != nil {
		return err
	}
	of := []any{tenant, snap.Stream.Type, snap.Stream.ID, snap.Fingerprint}
	var revisions []int64
	batch := asTenant(tenant)
	batch.Queue(log.in(insert), append(of, snap.Revision, snap.Position, string(snap.State))...).Exec(ignoreTag)
	batch.Queue(log.in(outlived), of...).Exec(ignoreTag)
	batch.Queue(log.in(list), of...).Query(func(rows pgx.Rows) (err error) {
		revisions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	err := s.send(ctx, batch)
	if drop := keep.Drop(revisions); err == nil && len(drop) > 0 {
		batch = asTenant(tenant)
		batch.Queue(log.in(thin), append(of, drop)...).Exec(ignoreTag)
		err = s.send(ctx, batch)
	}
	if err != nil {
		return fmt.Errorf("save the snapshot of stream %s %s of tenant %s at revision %d: %w",
			snap.Stream.Type, snap.Stream.ID, tenant, snap.Revision, err)
	}
	return nil
}

// ValidateSnapshot returns ErrMalformed, with the field, for a snapshot that no store may take. SaveSnapshot calls it.
func ValidateSnapshot(tenant string, log Log, snap Snapshot, keep Keep) error {
	if err := place(tenant, log); err != nil {
		return err
	}
	switch {
	case !readable(snap.Stream.Type) || !readable(snap.Stream.ID):
		return malformed("stream %q %q", snap.Stream.Type, snap.Stream.ID)
	case !readable(snap.Fingerprint):
		return malformed("fingerprint %q", snap.Fingerprint)
	case snap.Revision < 1 || snap.Position < 1:
		return malformed("a snapshot at revision %d, position %d", snap.Revision, snap.Position)
	case !storable(snap.State):
		return malformed("state is no JSON")
	case keep.Newest < 1 || keep.Every < 1:
		return malformed("to keep %d snapshots, of blocks of %d revisions", keep.Newest, keep.Every)
	}
	return nil
}
