package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"phantom/domain"
	"phantom/eventstore"
)

// errMeanwhile says that something else was appended between load and append.
var errMeanwhile = errors.New("changed between load and append")

// handling is one command on its way.
type handling struct {
	*Registry

	tenant  domain.Tenant
	cmd     domain.Command
	meta    domain.Meta
	hash    []byte
	streams []domain.StreamID // the written one first, then the guards
}

func newHandling(r *Registry, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (*handling, error) {
	hash, err := requestHash(cmd)
	if err != nil {
		return nil, err
	}
	streams := append([]domain.StreamID{cmd.Writes()}, cmd.Guards()...)
	return &handling{Registry: r, tenant: tenant, cmd: cmd, meta: meta, hash: hash, streams: streams}, nil
}

// attempt loads, decides and appends. errMeanwhile asks for another one. What begins a stream is taken for new at first: the
// append tells if it is not.
func (h *handling) attempt(ctx context.Context, attempt int) (domain.Result, error) {
	l := loaded{histories: make([]eventstore.History, len(h.streams))}
	if attempt > 0 || h.meta.Expect != nil || !domain.Begins(h.cmd) {
		var err error
		if l, err = h.load(ctx, h.tenant, h.streams, h.meta.CommandID); err != nil {
			return domain.Result{}, err
		}
	}
	if l.known != nil {
		return h.first(ctx, l.histories[0], l.known)
	}
	if err := h.expected(l.histories[0], attempt); err != nil {
		return domain.Result{}, err
	}
	decided, err := domain.Decide(l.states, h.cmd)
	if err != nil {
		return domain.Result{}, err
	}
	return h.append(ctx, l.histories, decided)
}

// expected holds the written stream against the caller's expectation. A caller who gave one decides
// himself what to do about a change: there is no second decision.
func (h *handling) expected(written eventstore.History, attempt int) error {
	if h.meta.Expect == nil {
		return nil
	}
	if revision := written.Revision(); revision != *h.meta.Expect {
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
func (h *handling) append(ctx context.Context, loaded []eventstore.History, decided []domain.Event) (domain.Result, error) {
	appends := make([]eventstore.Append, len(h.streams))
	for i, stream := range h.streams {
		appends[i] = eventstore.Append{Stream: storeStream(stream), Expect: eventstore.Exact(loaded[i].Revision())}
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
		return domain.Result{Revision: loaded[0].Revision(), Position: loaded[0].Position()}, nil
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

func (h *handling) record(written eventstore.History, events int) (*eventstore.CommandRecord, error) {
	result := outcome{Revision: written.Revision() + int64(events), Events: events}
	if events == 0 {
		result.Position = written.Position()
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode the result of command %s: %w", h.meta.CommandID, err)
	}
	return &eventstore.CommandRecord{ID: h.meta.CommandID, RequestHash: h.hash, Result: text}, nil
}

// first returns the first result of a command that is known.
func (h *handling) first(ctx context.Context, written eventstore.History, known *eventstore.CommandRecord) (domain.Result, error) {
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
	own, err := h.own(ctx, written, result)
	if err != nil {
		return domain.Result{}, err
	}
	last := own[len(own)-1]
	return domain.Result{Revision: last.Revision, Position: last.Position, Events: own}, nil
}

// own are the events of the command itself. They may be missing in what was loaded: a snapshot covers them, or they
// were committed between the two reads.
func (h *handling) own(ctx context.Context, written eventstore.History, result outcome) ([]domain.Recorded, error) {
	first := result.Revision - int64(result.Events) + 1
	if tail := written.Events; len(tail) > 0 && tail[0].AggregateVersion <= first && result.Revision <= written.Revision() {
		at := first - tail[0].AggregateVersion
		if own, err := h.ownOf(tail[at : at+int64(result.Events)]); err != nil || len(own) == result.Events {
			return own, err
		}
	}
	// A command that was forgotten and came again stands with a revision at which it would have been, had it not been
	// there already: then its events are somewhere before.
	for _, r := range []eventstore.Range{{From: first, To: result.Revision}, {To: result.Revision}} {
		events, err := h.store.Load(ctx, string(h.tenant), eventstore.Lifecycle, storeStream(h.streams[0]), r)
		if err != nil {
			return nil, err
		}
		if own, err := h.ownOf(events); err != nil || len(own) == result.Events {
			return own, err
		}
	}
	return nil, fmt.Errorf("command %s: its result names %d events up to revision %d of stream %s %s, which are not there",
		h.meta.CommandID, result.Events, result.Revision, h.streams[0].Type, h.streams[0].ID)
}

// ownOf are those of the events that the command made.
func (h *handling) ownOf(events []eventstore.Event) ([]domain.Recorded, error) {
	decoded, err := decodeAll(events)
	return slices.DeleteFunc(decoded, func(r domain.Recorded) bool { return r.Metadata.CommandID != h.meta.CommandID }), err
}
