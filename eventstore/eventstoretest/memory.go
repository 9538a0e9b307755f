package eventstoretest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"phantom/eventstore"
)

// Memory is an event store without a database, for tests of what stands on one. It answers as PostgreSQL does: both pass
// Run. The zero value is not ready, see NewMemory.
type Memory struct {
	mu       sync.Mutex
	logs     map[place]*log
	commands map[commandKey]eventstore.CommandRecord
}

type place struct {
	tenant string
	log    eventstore.Log
}

type commandKey struct{ tenant, id string }

// log is one tenant's sequence: position n is events[n-1].
type log struct {
	events  []eventstore.Event
	streams map[eventstore.Stream][]int // indexes of the stream's events, in order
	ids     map[uuid.UUID]int           // index of each event

	snapshots map[snapshotsOf][]eventstore.Snapshot // by ascending revision
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{logs: make(map[place]*log), commands: make(map[commandKey]eventstore.CommandRecord)}
}

// Append is eventstore.Store.Append.
func (m *Memory) Append(
	ctx context.Context, tenant string, of eventstore.Log, appends []eventstore.Append, cmd *eventstore.CommandRecord,
) ([]eventstore.Appended, error) {
	if err := eventstore.Validate(tenant, of, appends, cmd); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log(tenant, of)
	repeated, refusal := l.decide(appends)
	if cmd != nil {
		known, found := m.commands[commandKey{tenant, cmd.ID}]
		if found && (!repeated || !bytes.Equal(known.RequestHash, cmd.RequestHash)) {
			return nil, fmt.Errorf("command %s: %w", cmd.ID, eventstore.ErrDuplicateCommand)
		}
		if !found && refusal == nil {
			m.remember(tenant, *cmd)
		}
	}
	if refusal != nil {
		return nil, refusal
	}
	now := l.now()
	done := make([]eventstore.Appended, len(appends))
	for i, a := range appends {
		if repeated {
			done[i] = l.first(a)
			continue
		}
		done[i] = l.append(tenant, a, now)
	}
	return done, nil
}

func (m *Memory) log(tenant string, of eventstore.Log) *log {
	at := place{tenant, of}
	if m.logs[at] == nil {
		m.logs[at] = &log{
			streams: make(map[eventstore.Stream][]int), ids: make(map[uuid.UUID]int),
			snapshots: make(map[snapshotsOf][]eventstore.Snapshot),
		}
	}
	return m.logs[at]
}

func (m *Memory) remember(tenant string, cmd eventstore.CommandRecord) {
	if len(cmd.Result) == 0 {
		cmd.Result = []byte("null")
	}
	cmd.RequestHash, cmd.Result = bytes.Clone(cmd.RequestHash), bytes.Clone(cmd.Result)
	m.commands[commandKey{tenant, cmd.ID}] = cmd
}

// decide tells whether the call is a repetition, or why it is refused.
func (l *log) decide(appends []eventstore.Append) (repeated bool, refusal error) {
	var fresh bool
	var again, partial, violated *eventstore.Append
	for i := range appends {
		a := &appends[i]
		stored, foreign := l.stored(*a)
		switch {
		case foreign:
			return false, fmt.Errorf("stream %s %s: %w", a.Stream.Type, a.Stream.ID, eventstore.ErrDuplicateEvent)
		case a.SkipStored || len(a.Events) == 0:
		case len(stored) == 0:
			fresh = true
		case len(stored) == len(a.Events) && inOrder(stored):
			again = earliest(again, a)
		default:
			partial = earliest(partial, a)
		}
		if !a.Expect.Admits(l.revision(a.Stream)) {
			violated = earliest(violated, a)
		}
	}
	switch {
	case partial != nil:
		return false, l.conflict(*partial)
	case again != nil && fresh:
		return false, l.conflict(*again)
	case again != nil:
		return true, nil
	case violated != nil:
		return false, l.conflict(*violated)
	}
	return false, nil
}

func earliest(first, next *eventstore.Append) *eventstore.Append {
	if first != nil {
		return first
	}
	return next
}

// stored are the revisions at which the events stand in their stream; foreign when one stands in another.
func (l *log) stored(a eventstore.Append) (revisions []int64, foreign bool) {
	for _, e := range a.Events {
		index, found := l.ids[e.ID]
		if !found {
			continue
		}
		if at := l.events[index]; at.AggregateType != a.Stream.Type || at.AggregateID != a.Stream.ID {
			return nil, true
		}
		revisions = append(revisions, l.events[index].AggregateVersion)
	}
	return revisions, false
}

func inOrder(revisions []int64) bool {
	for i, r := range revisions {
		if r != revisions[0]+int64(i) {
			return false
		}
	}
	return true
}

func (l *log) revision(s eventstore.Stream) int64 { return int64(len(l.streams[s])) }

func (l *log) conflict(a eventstore.Append) error {
	return &eventstore.Conflict{Stream: a.Stream, Expected: a.Expect, Actual: l.revision(a.Stream)}
}

// now is the time to record, never before the last event's.
func (l *log) now() time.Time {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if n := len(l.events); n > 0 && now.Before(l.events[n-1].RecordedAt) {
		return l.events[n-1].RecordedAt
	}
	return now
}

// first is the result that a repeated stream, or the guard beside it, had.
func (l *log) first(a eventstore.Append) eventstore.Appended {
	if len(a.Events) == 0 {
		return l.at(a.Stream)
	}
	last := l.events[l.ids[a.Events[len(a.Events)-1].ID]]
	return eventstore.Appended{
		Stream: a.Stream, Revision: last.AggregateVersion, Position: last.Position, RecordedAt: last.RecordedAt, Repeated: true,
	}
}

// at is where a stream stands.
func (l *log) at(s eventstore.Stream) eventstore.Appended {
	done := eventstore.Appended{Stream: s, Revision: l.revision(s)}
	if indexes := l.streams[s]; len(indexes) > 0 {
		done.Position = l.events[indexes[len(indexes)-1]].Position
	}
	return done
}

func (l *log) append(tenant string, a eventstore.Append, now time.Time) eventstore.Appended {
	var skipped []uuid.UUID
	for _, e := range a.Events {
		if _, stored := l.ids[e.ID]; stored {
			skipped = append(skipped, e.ID) // only SkipStored comes here with one
			continue
		}
		l.add(tenant, a.Stream, e, now)
	}
	done := l.at(a.Stream)
	if len(skipped) < len(a.Events) {
		done.RecordedAt = now
	}
	done.Skipped = skipped
	done.Repeated = len(a.Events) > 0 && len(skipped) == len(a.Events)
	return done
}

func (l *log) add(tenant string, s eventstore.Stream, e eventstore.NewEvent, now time.Time) {
	digest := eventstore.Digest(tenant, s, e)
	metadata := bytes.Clone(e.Metadata)
	if len(metadata) == 0 {
		metadata = []byte(`{}`)
	}
	index := len(l.events)
	l.events = append(l.events, eventstore.Event{
		Position: int64(index) + 1, EventID: e.ID, TenantID: tenant,
		AggregateType: s.Type, AggregateID: s.ID, AggregateVersion: l.revision(s) + 1,
		EventType: e.Type, EventVersion: e.Version, EventData: bytes.Clone(e.Data), Metadata: metadata,
		OccurredAt: e.OccurredAt.UTC().Truncate(time.Microsecond), RecordedAt: now,
		CausationID: orNil(e.CausationID), CorrelationID: orNil(e.CorrelationID), Digest: digest[:],
	})
	l.streams[s] = append(l.streams[s], index)
	l.ids[e.ID] = index
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// copied hands an event out so that its holder cannot change the store.
func copied(e eventstore.Event) eventstore.Event {
	e.EventData, e.Metadata, e.Digest = bytes.Clone(e.EventData), bytes.Clone(e.Metadata), bytes.Clone(e.Digest)
	return e
}

func wanted(types []string, e eventstore.Event) bool {
	return len(types) == 0 || slices.Contains(types, e.EventType)
}
