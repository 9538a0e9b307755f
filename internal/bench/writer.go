package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"phantom/eventstore"
)

// What an event of a training carries: 190 bytes of data and 150 of metadata.
const (
	eventType    = "TrainingProgressUpdated"
	eventData    = `{"model_id":"digits","training_job_id":"7f1c2b5e-0d8f-4d53-9a60-2f8f5a3c1e77","epoch":12,"step":3400,"metrics":{"accuracy":0.97312,"loss":0.087413,"seconds":12.25},"progress_percentage":42.500}`
	metadataText = `{"actor":{"subject":"on-call","auth":"api_key","verified":true},"command_id":"train:default:digits:2026/4f0c1a/progress/12","workflow_id":"train:digits"}`
	correlation  = "train:default:digits:2026-11-23T10-00"
)

// writer is one client's own: its streams, of which it alone knows the revisions, and its chance.
type writer struct {
	chance    *rand.Rand
	stream    eventstore.Stream
	revisions []int64 // by tenant
}

// pick chooses a client's next tenant.
type pick func(w *writer, client int) int

func anywhere(w *writer, _ int) int { return w.chance.IntN(len(w.revisions)) }

func hot(*writer, int) int { return 0 }

func writers(clients, tenants int) []*writer {
	all := make([]*writer, clients)
	for i := range all {
		id := uuid.New() // streams are new in each row
		all[i] = &writer{
			chance:    rand.New(rand.NewPCG(binary.BigEndian.Uint64(id[:8]), uint64(i))),
			stream:    eventstore.Stream{Type: "TrainingJob", ID: id.String()},
			revisions: make([]int64, tenants),
		}
	}
	return all
}

func (w *writer) event() eventstore.NewEvent {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], w.chance.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.chance.Uint64())
	return eventstore.NewEvent{
		ID: id, Type: eventType, Version: 1, Data: []byte(eventData), Metadata: []byte(metadataText),
		OccurredAt: time.Now(), CorrelationID: correlation,
	}
}

func (w *writer) events(n int) []eventstore.NewEvent {
	events := make([]eventstore.NewEvent, n)
	for i := range events {
		events[i] = w.event()
	}
	return events
}

// appending appends so many events a call with an exact expectation.
func (w *world) appending(clients, tenants, events int, next pick) task {
	own := writers(clients, tenants)
	return func(ctx context.Context, client int) error {
		me := own[client]
		return me.append(ctx, w.store, next(me, client), events)
	}
}

func (w *writer) append(ctx context.Context, store *eventstore.Store, to, events int) error {
	_, err := store.Append(ctx, tenant("own", to), eventstore.Lifecycle, []eventstore.Append{{
		Stream: w.stream, Expect: eventstore.Exact(w.revisions[to]), Events: w.events(events),
	}}, nil)
	if err == nil {
		w.revisions[to] += int64(events)
	}
	return err
}
