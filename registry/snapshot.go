package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"phantom/domain"
	"phantom/eventstore"
)

// SnapshotPolicy tells when a stream gets another snapshot, and how many stay.
type SnapshotPolicy struct {
	Events int           // when so many events follow the last one
	Bytes  int           // or so many bytes of payload
	Took   time.Duration // or when it took so long to load the stream
	Least  int           // but never when fewer events follow: a slow database makes no long stream
	Keep   eventstore.Keep
}

// DefaultSnapshotPolicy bounds a load to some hundred events, or a quarter of a MiB.
func DefaultSnapshotPolicy() SnapshotPolicy {
	return SnapshotPolicy{
		Events: 100, Bytes: 256 << 10, Took: 50 * time.Millisecond, Least: 20,
		Keep: eventstore.Keep{Newest: 3, Every: 100},
	}
}

// due tells whether what follows a snapshot is worth another one.
func (p SnapshotPolicy) due(history eventstore.History, took time.Duration) bool {
	if len(history.Events) < p.Least {
		return false
	}
	bytes := 0
	for _, e := range history.Events {
		bytes += len(e.EventData) + len(e.Metadata)
	}
	return len(history.Events) >= p.Events || bytes >= p.Bytes || took >= p.Took
}

// SnapshotStore is a Store that keeps snapshots.
type SnapshotStore interface {
	Store
	// SaveSnapshot stores a snapshot and drops what need not stay. See eventstore.Store.
	SaveSnapshot(ctx context.Context, tenant string, log eventstore.Log, snap eventstore.Snapshot, keep eventstore.Keep) error
}

// Snapshots writes the snapshots of what registries load, behind their answers: a load that was long leaves a note here,
// and Run reads the stream once more, folds it and stores the state. Notes are few at a time, and one that finds no room
// is dropped: the next load leaves another. Nothing depends on a snapshot.
type Snapshots struct {
	registry *Registry
	store    SnapshotStore
	policy   SnapshotPolicy
	failed   func(error)
	notes    chan note

	mu      sync.Mutex
	noted   map[noted]struct{} // the streams of the notes, and of the one in work
	dropped int64
}

type noted struct {
	tenant domain.Tenant
	stream domain.StreamID
}

type note struct {
	noted

	took time.Duration
}

// mostNotes bounds what waits: some seconds of work.
const mostNotes = 256

// NewSnapshots makes a writer that stands still until Run. The function is told what failed; nil is fine.
func NewSnapshots(store SnapshotStore, policy SnapshotPolicy, failed func(error)) *Snapshots {
	if failed == nil {
		failed = func(error) {}
	}
	return &Snapshots{
		registry: New(store), store: store, policy: policy, failed: failed,
		notes: make(chan note, mostNotes), noted: make(map[noted]struct{}),
	}
}

// WithSnapshots is a registry that leaves notes to the writer.
func (r *Registry) WithSnapshots(s *Snapshots) *Registry {
	with := *r
	with.snapshots = s
	return &with
}

// Run writes snapshots, one at a time, until ctx ends; then it returns its error, and what waits is dropped.
func (s *Snapshots) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-s.notes:
			if err := s.write(ctx, n); err != nil && ctx.Err() == nil {
				s.failed(fmt.Errorf("snapshot of stream %s %s of tenant %s: %w", n.stream.Type, n.stream.ID, n.tenant, err))
			}
			s.mu.Lock()
			delete(s.noted, n.noted)
			s.mu.Unlock()
		}
	}
}

// Dropped is how many notes found no room.
func (s *Snapshots) Dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// consider leaves a note when what was loaded is worth a snapshot. It never waits.
func (s *Snapshots) consider(tenant domain.Tenant, stream domain.StreamID, history eventstore.History, took time.Duration) {
	if s == nil || domain.Fingerprint(stream.Type) == "" || !s.policy.due(history, took) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := note{noted: noted{tenant, stream}, took: took}
	if _, waits := s.noted[n.noted]; waits {
		return
	}
	select {
	case s.notes <- n:
		s.noted[n.noted] = struct{}{}
	default:
		s.dropped++
	}
}

// write stores a stream's present state, unless somebody did so meanwhile.
func (s *Snapshots) write(ctx context.Context, n note) error {
	loaded, err := s.registry.load(ctx, n.tenant, []domain.StreamID{n.stream}, "")
	if err != nil {
		return err
	}
	history := loaded.histories[0]
	if !s.policy.due(history, n.took) {
		return nil
	}
	state, err := loaded.states.MarshalState(n.stream.Type)
	if err != nil {
		return err
	}
	return s.store.SaveSnapshot(ctx, string(n.tenant), logOf(n.stream), eventstore.Snapshot{
		Stream: storeStream(n.stream), Fingerprint: s.registry.fingerprints[n.stream.Type],
		Revision: history.Revision(), Position: history.Position(), State: state,
	}, s.policy.Keep)
}
