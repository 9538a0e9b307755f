package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"phantom/domain"
	"phantom/eventstore"
)

// errMeanwhile says that something else was appended between load and append.
var errMeanwhile = errors.New("changed between load and append")

// handling is one command on its way.
type handling struct {
	store   Store
	tenant  domain.Tenant
	cmd     domain.Command
	meta    domain.Meta
	hash    []byte
	streams []domain.StreamID // the written one first, then the guards
}

func newHandling(store Store, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (*handling, error) {
	hash, err := requestHash(cmd)
	if err != nil {
		return nil, err
	}
	streams := append([]domain.StreamID{cmd.Writes()}, cmd.Guards()...)
	return &handling{store: store, tenant: tenant, cmd: cmd, meta: meta, hash: hash, streams: streams}, nil
}

// attempt loads, decides and appends. errMeanwhile asks for another one.
func (h *handling) attempt(ctx context.Context, attempt int) (domain.Result, error) {
	loaded, known, err := h.store.Fetch(ctx, string(h.tenant), eventstore.Lifecycle, storeStreams(h.streams), h.meta.CommandID)
	if err != nil {
		return domain.Result{}, err
	}
	if known != nil {
		return h.first(ctx, loaded[0], known)
	}
	if err := h.expected(loaded[0], attempt); err != nil {
		return domain.Result{}, err
	}
	var states domain.Aggregates
	for _, events := range loaded {
		if err := fold(events, states.Evolve); err != nil {
			return domain.Result{}, err
		}
	}
	decided, err := domain.Decide(states, h.cmd)
	if err != nil {
		return domain.Result{}, err
	}
	return h.append(ctx, loaded, decided)
}

// expected holds the written stream against the caller's expectation. A caller who gave one decides
// himself what to do about a change: there is no second decision.
func (h *handling) expected(written []eventstore.Event, attempt int) error {
	if h.meta.Expect == nil {
		return nil
	}
	if revision := revisionOf(written); revision != *h.meta.Expect {
		return fmt.Errorf("stream %s %s is at revision %d, not at %d: %w",
			h.streams[0].Type, h.streams[0].ID, revision, *h.meta.Expect, domain.ErrPreconditionFailed)
	}
	if attempt > 0 {
		return fmt.Errorf("%s: a stream that the decision reads beside %s %s changed; try again: %w",
			domain.CommandType(h.cmd), h.streams[0].Type, h.streams[0].ID, domain.ErrConflict)
	}
	return nil
}

// append appends what was decided, and the command, provided that every stream is as it was loaded.
func (h *handling) append(ctx context.Context, loaded [][]eventstore.Event, decided []domain.Event) (domain.Result, error) {
	appends := make([]eventstore.Append, len(h.streams))
	for i, stream := range h.streams {
		appends[i] = eventstore.Append{Stream: storeStream(stream), Expect: eventstore.Exact(revisionOf(loaded[i]))}
	}
	events, err := encode(decided, h.meta)
	if err != nil {
		return domain.Result{}, err
	}
	appends[0].Events = events
	record, err := h.record(loaded[0], len(events))
	if err != nil {
		return domain.Result{}, err
	}
	done, err := h.store.Append(ctx, string(h.tenant), eventstore.Lifecycle, appends, record)
	switch {
	case errors.Is(err, eventstore.ErrWrongVersion), errors.Is(err, eventstore.ErrDuplicateCommand):
		return domain.Result{}, fmt.Errorf("%w: %w", errMeanwhile, err)
	case err != nil:
		return domain.Result{}, err
	case done[0].Repeated: // a first attempt of the same command was faster; its result is known now
		return domain.Result{}, errMeanwhile
	case len(events) == 0:
		return domain.Result{Revision: revisionOf(loaded[0]), Position: positionOf(loaded[0])}, nil
	}
	return domain.Result{
		Revision: done[0].Revision, Position: done[0].Position,
		Events: recorded(h.streams[0], decided, h.meta, done[0]),
	}, nil
}

// outcome is what is remembered of a handled command. Positions are known only after the append, so of
// a command with events the stream tells them.
type outcome struct {
	Revision int64 `json:"revision"`           // of the written stream after the command
	Events   int   `json:"events"`             // the last ones up to Revision are the command's
	Position int64 `json:"position,omitempty"` // of a command without events
}

func (h *handling) record(written []eventstore.Event, events int) (*eventstore.CommandRecord, error) {
	result := outcome{Revision: revisionOf(written) + int64(events), Events: events}
	if events == 0 {
		result.Position = positionOf(written)
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode the result of command %s: %w", h.meta.CommandID, err)
	}
	return &eventstore.CommandRecord{ID: h.meta.CommandID, RequestHash: h.hash, Result: text}, nil
}

// first returns the first result of a command that is known.
func (h *handling) first(ctx context.Context, written []eventstore.Event, known *eventstore.CommandRecord) (domain.Result, error) {
	if !bytes.Equal(known.RequestHash, h.hash) {
		return domain.Result{}, fmt.Errorf("command %s: %w", h.meta.CommandID, domain.ErrIdempotencyMismatch)
	}
	var result outcome
	if err := json.Unmarshal(known.Result, &result); err != nil {
		return domain.Result{}, fmt.Errorf("decode the result of command %s: %w", h.meta.CommandID, err)
	}
	if result.Events == 0 {
		return domain.Result{Revision: result.Revision, Position: result.Position}, nil
	}
	if revisionOf(written) < result.Revision { // it was committed between the two reads
		loaded, _, err := h.store.Fetch(ctx, string(h.tenant), eventstore.Lifecycle, storeStreams(h.streams[:1]), "")
		if err != nil {
			return domain.Result{}, err
		}
		written = loaded[0]
	}
	if revisionOf(written) < result.Revision {
		return domain.Result{}, fmt.Errorf("command %s: its result names revision %d of stream %s %s, which ends at %d",
			h.meta.CommandID, result.Revision, h.streams[0].Type, h.streams[0].ID, revisionOf(written))
	}
	own, err := decodeAll(written[result.Revision-int64(result.Events) : result.Revision])
	if err != nil {
		return domain.Result{}, err
	}
	return domain.Result{Revision: result.Revision, Position: own[len(own)-1].Position, Events: own}, nil
}

// revisionOf is the revision of a whole stream; 0 when it does not exist.
func revisionOf(events []eventstore.Event) int64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].AggregateVersion
}

// positionOf is the position of the stream's last event.
func positionOf(events []eventstore.Event) int64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Position
}
