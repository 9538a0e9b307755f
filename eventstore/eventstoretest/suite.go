// Package eventstoretest says what an event store must do, as a suite that every one passes, and keeps one in memory.
//
// What it promises: a store that passes Run behaves as the registry and the projections expect, in every outcome of an
// append and under concurrency.
//
// What it does not: it does not test what only a database has (roles, row-level security, triggers, wake-ups).
package eventstoretest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// Store is what the suite tests: eventstore.Store and Memory.
type Store interface {
	Append(context.Context, string, eventstore.Log, []eventstore.Append, *eventstore.CommandRecord) ([]eventstore.Appended, error)
	Load(context.Context, string, eventstore.Log, eventstore.Stream, eventstore.Range) ([]eventstore.Event, error)
	LoadAt(context.Context, string, eventstore.Log, eventstore.Stream, eventstore.Range, time.Time) ([]eventstore.Event, int64, error)
	LoadOccurred(context.Context, string, eventstore.Log, eventstore.Occurred) (eventstore.OccurredPage, error)
	PositionAt(context.Context, string, eventstore.Log, time.Time) (int64, error)
	Walk(context.Context, string, eventstore.Log, eventstore.Stream, eventstore.Range) iter.Seq2[eventstore.Event, error]
	WalkLog(context.Context, string, eventstore.Log, eventstore.Span) iter.Seq2[eventstore.Event, error]
	Trace(context.Context, string, string, eventstore.TrailPlace) (eventstore.Trail, error)
	Fetch(context.Context, string, eventstore.Log, []eventstore.Want, string) ([]eventstore.History, *eventstore.CommandRecord, error)
	SaveSnapshot(context.Context, string, eventstore.Log, eventstore.Snapshot, eventstore.Keep) error
	Head(context.Context, string, eventstore.Log) (int64, error)
	Heads(context.Context, eventstore.Log) (map[string]int64, error)
	ReadAfter(context.Context, eventstore.Log, []eventstore.Cursor, []string, int) ([]eventstore.Page, error)
	ReadLog(context.Context, string, eventstore.Log, int64, []string, int) ([]eventstore.Event, error)
}

// Run tests the store. Each case works in a tenant of its own, so open may return one store for all.
func Run(t *testing.T, open func(*testing.T) Store) {
	t.Helper()
	cases := map[string]func(*testing.T, bench){
		"expectations":                   expectations,
		"a conflict leaves nothing":      conflictLeavesNothing,
		"the envelope is kept":           envelopeIsKept,
		"malformed appends":              malformedAppends,
		"large appends":                  largeAppends,
		"order":                          order,
		"ranges":                         ranges,
		"whole batch again":              wholeBatchAgain,
		"part of a batch again":          partOfBatchAgain,
		"ids of another stream":          idsOfAnotherStream,
		"several streams":                severalStreams,
		"several streams again":          severalStreamsAgain,
		"guards":                         guards,
		"commands":                       commands,
		"commands and repetition":        commandsAndRepetition,
		"commands without events":        commandsWithoutEvents,
		"skip stored":                    skipStored,
		"skip stored in several streams": skipStoredInSeveralStreams,
		"skip stored at once":            skipStoredAtOnce,
		"any at once":                    anyAtOnce,
		"exact at once":                  exactAtOnce,
		"new tenant at once":             newTenantAtOnce,
		"a command at once":              commandAtOnce,
		"fetch":                          fetch,
		"fetch from snapshots":           fetchFromSnapshots,
		"snapshots that do not fit":      snapshotsThatDoNotFit,
		"snapshots are thinned":          snapshotsAreThinned,
		"as of":                          asOf,
		"as of an instant":               asOfAnInstant,
		"walk":                           walk,
		"walk a log":                     walkLog,
		"occurred":                       occurred,
		"occurred at once":               occurredAtOnce,
		"trace":                          trace,
		"isolation":                      isolation,
		"read log":                       readLog,
		"read after":                     readAfter,
		"read after with types":          readAfterWithTypes,
		"follow while appending":         followWhileAppending,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, bench{Store: open(t), tenant: "t-" + uuid.NewString()})
		})
	}
}

// bench is a store and the tenant of one case.
type bench struct {
	Store
	tenant string
}

// append appends to the lifecycle log.
func (b bench) append(t *testing.T, appends ...eventstore.Append) ([]eventstore.Appended, error) {
	t.Helper()
	return b.Append(t.Context(), b.tenant, eventstore.Lifecycle, appends, nil)
}

// must appends and returns the only stream's outcome.
func (b bench) must(t *testing.T, a eventstore.Append) eventstore.Appended {
	t.Helper()
	done, err := b.append(t, a)
	require.NoError(t, err)
	require.Len(t, done, 1)
	return done[0]
}

// ids are those of a stream's events, in order.
func (b bench) ids(t *testing.T, s eventstore.Stream) []uuid.UUID {
	t.Helper()
	events, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, s, eventstore.Range{})
	require.NoError(t, err)
	return idsOf(events)
}

func (b bench) head(t *testing.T) int64 {
	t.Helper()
	head, err := b.Head(t.Context(), b.tenant, eventstore.Lifecycle)
	require.NoError(t, err)
	return head
}

// Batch makes n events with new ids.
func Batch(n int) []eventstore.NewEvent {
	events := make([]eventstore.NewEvent, n)
	for i := range events {
		events[i] = eventstore.NewEvent{
			ID: uuid.New(), Type: "Happened", Version: 1,
			Data:       json.RawMessage(fmt.Sprintf(`{"number":%d}`, i)),
			OccurredAt: time.Date(2026, 11, 23, 10, 0, i, 0, time.UTC),
		}
	}
	return events
}

// on names a stream of the type that the cases use.
func on(id string) eventstore.Stream { return eventstore.Stream{Type: "Thing", ID: id} }

func to(id string, expect eventstore.Expectation, events ...eventstore.NewEvent) eventstore.Append {
	return eventstore.Append{Stream: on(id), Expect: expect, Events: events}
}

func idsOf(events []eventstore.Event) []uuid.UUID {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.EventID
	}
	return ids
}

func given(events ...[]eventstore.NewEvent) []uuid.UUID {
	ids := []uuid.UUID{}
	for _, batch := range events {
		for _, e := range batch {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func requireConflict(t *testing.T, err error, want eventstore.Conflict) {
	t.Helper()
	require.ErrorIs(t, err, eventstore.ErrWrongVersion)
	var conflict *eventstore.Conflict
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, want, *conflict)
}
