// Package registry handles commands: it loads what a command reads, lets the domain decide, and appends
// what it decided. It is the only place where domain and eventstore meet for writing.
//
// What it promises: a command is handled once. Its events, or the fact that it changed nothing, are
// remembered under its id in the transaction of the events; the same id with the same content returns
// the first result, with other content it is refused. Nothing that the decision read has changed when
// its events are appended: else it is decided again.
//
// What it does not: it knows no rule of the domain, no workflow and no read model, and it retries
// nothing but conflicts. A command that was refused is not remembered.
//
// Commands are remembered for CommandRetention, which is how long a caller may come again. One that comes later is
// decided anew, on what is the case then; events that it made before are not stored twice, as their ids follow from its.
//
// Inferences and feedback take a shorter way: they are not decided on any state, are named by what they
// are about, and so need no command to be stored once.
package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"phantom/domain"
	"phantom/eventstore"
)

// Store is what the registry needs of an event store.
type Store interface {
	// Append appends to all streams or to none. See eventstore.Store.
	Append(ctx context.Context, tenant string, log eventstore.Log, appends []eventstore.Append,
		cmd *eventstore.CommandRecord) ([]eventstore.Appended, error)
	// Fetch reads streams from their snapshots on and, after them, what is known of a command. See eventstore.Store.
	Fetch(ctx context.Context, tenant string, log eventstore.Log, wants []eventstore.Want,
		commandID string) ([]eventstore.History, *eventstore.CommandRecord, error)
	// Load reads revisions of a stream. See eventstore.Store.
	Load(ctx context.Context, tenant string, log eventstore.Log, stream eventstore.Stream, r eventstore.Range) ([]eventstore.Event, error)
	// PositionAt resolves an instant. See eventstore.Store.
	PositionAt(ctx context.Context, tenant string, log eventstore.Log, at time.Time) (int64, error)
}

// Registry handles commands. It is safe for concurrent use and keeps no state.
type Registry struct {
	store        Store
	fingerprints map[domain.AggregateType]string // of the snapshots that this program can read
	snapshots    *Snapshots                      // or nil
	sealer       Sealer                          // nil: nothing private gets into the log
}

// New makes a registry on a store. It reads snapshots; see WithSnapshots for who writes them.
func New(store Store) *Registry {
	r := &Registry{store: store, fingerprints: make(map[domain.AggregateType]string)}
	for _, folded := range []domain.AggregateType{domain.TypeMLModel, domain.TypeTrainingJob, domain.TypeRollout} {
		r.fingerprints[folded] = domain.Fingerprint(folded)
	}
	return r
}

// CommandRetention is how long a command is remembered. Workers forget older ones, see eventstore.Store.PruneCommands.
const CommandRetention = 30 * 24 * time.Hour

const (
	// maxAttempts bounds how often a command is decided before it is an ErrConflict. Of the commands that
	// meet on a stream one gets through each time.
	maxAttempts = 24
	// maxPause is the longest wait before the next attempt; waits grow from a millisecond and are random.
	maxPause = 64 * time.Millisecond
)

// Handle decides the command and appends its events. Errors:
//
//	ErrInvalidInput         a field is wrong (*InvalidInput, several joined)
//	ErrNotFound, ErrAlreadyExists, ErrInvalidState   as Decide refuses
//	ErrIdempotencyMismatch  meta.CommandID was used for another request
//	ErrPreconditionFailed   the written stream is not at *meta.Expect
//	ErrConflict             what the decision read kept changing; with meta.Expect, it changed once
//
// After any other error it is unknown whether the command was handled: repeat it under the same id.
// Result.Events are those of the command, also when it was handled before; for inferences and feedback
// they are nil. The result of a command that changed nothing is the state of its stream.
func (r *Registry) Handle(ctx context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (domain.Result, error) {
	if err := errors.Join(domain.ValidateTenant(tenant), meta.Validate(), domain.Validate(cmd)); err != nil {
		return domain.Result{}, err
	}
	if meta.CommandID == "" {
		meta.CommandID = uuid.NewString()
	}
	if meta.At.IsZero() {
		meta.At = time.Now()
	}
	meta.At = meta.At.Round(0).UTC().Truncate(time.Microsecond) // as the store keeps it
	if cmd.Writes().Type == domain.TypeInferenceLog {
		return r.observe(ctx, tenant, cmd, meta)
	}
	h, err := newHandling(r, tenant, cmd, meta)
	if err != nil {
		return domain.Result{}, err
	}
	return h.run(ctx)
}

// run decides until nothing changed meanwhile.
func (h *handling) run(ctx context.Context) (domain.Result, error) {
	for attempt := range maxAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return domain.Result{}, err
			}
		}
		result, err := h.attempt(ctx, attempt)
		if !errors.Is(err, errMeanwhile) {
			return result, err
		}
	}
	return domain.Result{}, fmt.Errorf("%s was decided %d times and stream %s %s changed each time; try again: %w",
		domain.CommandType(h.cmd), maxAttempts, h.cmd.Writes().Type, h.cmd.Writes().ID, domain.ErrConflict)
}

func pause(ctx context.Context, attempt int) error {
	longest := min(time.Millisecond<<attempt, maxPause)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
