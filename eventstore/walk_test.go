package eventstore_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// pages counts the batches that a pool sends, and remembers their questions.
type pages struct {
	sent      atomic.Int64
	questions atomic.Pointer[[]pgx.TraceBatchQueryData]
}

func (*pages) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*pages) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (p *pages) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	p.sent.Add(1)
	p.questions.Store(&[]pgx.TraceBatchQueryData{})
	return ctx
}
func (*pages) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (p *pages) TraceBatchQuery(_ context.Context, _ *pgx.Conn, question pgx.TraceBatchQueryData) {
	asked := append(*p.questions.Load(), question)
	p.questions.Store(&asked)
}

// single is a store with one connection, and what it sends.
func single(t *testing.T, db *pgtest.Database) (*eventstore.Store, *pages) {
	t.Helper()
	sent := &pages{}
	pool := pgtest.Tuned(t, db.ServingURL, func(settings *pgxpool.Config) {
		settings.MaxConns = 1
		settings.ConnConfig.Tracer = sent
	})
	return eventstore.New(pool), sent
}

// TestAWalkHoldsNothing: between pages the only connection is free, and a walk that is broken off asks no more.
func TestAWalkHoldsNothing(t *testing.T) {
	t.Parallel()
	store, sent := single(t, pgtest.New(t))
	fill(t, store, "acme", 1200)
	for name, walk := range map[string]func(func(eventstore.Event, error) bool){
		"stream": store.Walk(t.Context(), "acme", eventstore.Lifecycle, stream("s"), eventstore.Range{}),
		"log":    store.WalkLog(t.Context(), "acme", eventstore.Lifecycle, eventstore.Span{}),
	} {
		sent.sent.Store(0)
		events := 0
		for _, err := range walk {
			require.NoError(t, err, name)
			if events++; events%400 == 0 {
				before := sent.sent.Load()
				_, err := store.Head(t.Context(), "acme", eventstore.Lifecycle)
				require.NoError(t, err, "the connection is held")
				sent.sent.Store(before)
			}
		}
		require.Equal(t, 1200, events, name)
		require.EqualValues(t, 3, sent.sent.Load(), "%s: pages of 500", name)
		sent.sent.Store(0)
		for _, err := range walk {
			require.NoError(t, err)
			break
		}
		require.EqualValues(t, 1, sent.sent.Load(), name)
	}
}

// TestPagesAreBoundedInBytes: large events come a few at a time, however small they are packed.
func TestPagesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	store, sent := single(t, pgtest.New(t))
	events := eventstoretest.Batch(13)
	for i := range events { // a repeated letter is packed to next to nothing
		events[i].Data = json.RawMessage(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	}
	for _, e := range events {
		_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle,
			[]eventstore.Append{{Stream: stream("s"), Events: []eventstore.NewEvent{e}}}, nil)
		require.NoError(t, err)
	}
	sent.sent.Store(0)
	var seen []int64
	for e, err := range store.Walk(t.Context(), "acme", eventstore.Lifecycle, stream("s"), eventstore.Range{}) {
		require.NoError(t, err)
		seen = append(seen, e.Position)
	}
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, seen)
	require.GreaterOrEqual(t, sent.sent.Load(), int64(3), "some 13 MiB in pages of 4 MiB")

	page, err := store.LoadOccurred(t.Context(), "acme", eventstore.Lifecycle, eventstore.Occurred{Types: []string{"Happened"}, Limit: 13})
	require.NoError(t, err)
	require.Less(t, len(page.Events), 13)
	require.NotNil(t, page.Next)
}

// TestAWalkFindsARareTypeInPieces: between two events of a type lie more positions than are looked at at once.
func TestAWalkFindsARareTypeInPieces(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, sent := single(t, db)
	rare := func() {
		event := eventstoretest.Batch(1)
		event[0].Type = "Rare"
		_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Append{{Stream: stream("r"), Events: event}}, nil)
		require.NoError(t, err)
	}
	rare()
	cram(t, db, "acme", 2, 45_000)
	rare()
	sent.sent.Store(0)
	var seen []int64
	for e, err := range store.WalkLog(t.Context(), "acme", eventstore.Lifecycle, eventstore.Span{Types: []string{"Rare"}}) {
		require.NoError(t, err)
		seen = append(seen, e.Position)
	}
	require.Equal(t, []int64{1, 45_002}, seen)
	require.EqualValues(t, 3, sent.sent.Load())
}

// cram inserts events of many types and of five correlations past the store, with digests that fit nothing, from a position on.
func cram(t *testing.T, db *pgtest.Database, tenant string, first, n int) {
	t.Helper()
	owner := pgtest.Pool(t, db.AdminURL)
	_, err := owner.Exec(t.Context(), `insert into lifecycle.events select $1, n, gen_random_uuid(), 'Thing', 'crammed', n, 'Type' || n % 100, 1,
		'{}', '{}', timestamptz '2026-01-01' + n * interval '1 s', now(), null, 'saga' || n % 5, sha256('x')
		from generate_series($2::int, $2::int + $3::int - 1) n`, tenant, first, n)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "analyze lifecycle.events")
	require.NoError(t, err)
}

// TestAWalkEndsAtACorruptEvent: those before it are delivered.
func TestAWalkEndsAtACorruptEvent(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 3)
	cram(t, db, "acme", 4, 2)
	var seen []int64
	var last error
	for e, err := range store.WalkLog(t.Context(), "acme", eventstore.Lifecycle, eventstore.Span{}) {
		if last = err; err == nil {
			seen = append(seen, e.Position)
		}
	}
	require.Equal(t, []int64{1, 2, 3}, seen)
	require.ErrorIs(t, last, eventstore.ErrCorrupt)
	_, err := store.LoadOccurred(t.Context(), "acme", eventstore.Lifecycle, eventstore.Occurred{Types: []string{"Type4"}, Limit: 1})
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	_, err = store.Trace(t.Context(), "acme", "saga4", eventstore.TrailPlace{})
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
}
