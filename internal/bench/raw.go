package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"phantom/eventstore"
)

const insertColumns = `insert into lifecycle.events (tenant_id, position, event_id, aggregate_type, aggregate_id,
	aggregate_version, event_type, event_version, event_data, metadata, occurred_at, recorded_at, causation_id,
	correlation_id, digest, link) `

// numbers are the last positions of the raw side's tenants. The client counts them, so that the INSERT is spared the work
// of finding them and of being in order.
type numbers struct {
	mu   sync.Mutex
	last []*atomic.Int64
}

func (n *numbers) of(tenant int) *atomic.Int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.last) <= tenant {
		n.last = append(n.last, &atomic.Int64{})
	}
	return n.last[tenant]
}

// inserting inserts one row a call: a statement that is prepared once a connection, the same columns, bytes and indexes, a
// digest and a link that cost nothing, no lock, no order, no expectation.
func (w *world) inserting(clients, tenants int, positions *numbers, next pick) task {
	const insert = insertColumns + `values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, null, $13, $14, $14)`
	own := writers(clients, tenants)
	digest := make([]byte, 32)
	return func(ctx context.Context, client int) error {
		me := own[client]
		to := next(me, client)
		e := me.event()
		_, err := w.raw.Exec(ctx, insert, tenant("raw", to), positions.of(to).Add(1), e.ID, me.stream.Type, me.stream.ID,
			me.revisions[to]+1, e.Type, e.Version, string(e.Data), string(e.Metadata), e.OccurredAt, time.Now(), e.CorrelationID, digest)
		if err == nil {
			me.revisions[to]++
		}
		return err
	}
}

// insertingMany inserts so many rows a call from arrays.
func (w *world) insertingMany(clients, tenants, events int, positions *numbers, next pick) task {
	const insert = insertColumns + `
		select $1, $2 + e.n - 1, e.id, $3, $4, $5 + e.n, e.type, e.version, e.data::json, e.metadata::json, e.occurred, $6, null,
			e.correlation, $7, case when e.n = $8 then $7::bytea end
		from unnest($9::uuid[], $10::text[], $11::integer[], $12::text[], $13::text[], $14::timestamptz[], $15::text[])
			with ordinality as e (id, type, version, data, metadata, occurred, correlation, n)`
	own := writers(clients, tenants)
	digest := make([]byte, 32)
	return func(ctx context.Context, client int) error {
		me := own[client]
		to := next(me, client)
		first := positions.of(to).Add(int64(events)) - int64(events) + 1
		args := append([]any{
			tenant("raw", to), first, me.stream.Type, me.stream.ID, me.revisions[to], time.Now(), digest, int64(events),
		}, columns(me.events(events))...)
		_, err := w.raw.Exec(ctx, insert, args...)
		if err == nil {
			me.revisions[to] += int64(events)
		}
		return err
	}
}

// columns are events as arrays, without what the store adds.
func columns(events []eventstore.NewEvent) []any {
	var (
		ids                                [][16]byte
		types, data, metadata, correlation []string
		versions                           []int32
		occurred                           []time.Time
	)
	for _, e := range events {
		ids = append(ids, e.ID)
		types = append(types, e.Type)
		versions = append(versions, int32(e.Version))
		data = append(data, string(e.Data))
		metadata = append(metadata, string(e.Metadata))
		occurred = append(occurred, e.OccurredAt)
		correlation = append(correlation, e.CorrelationID)
	}
	return []any{ids, types, versions, data, metadata, occurred, correlation}
}
