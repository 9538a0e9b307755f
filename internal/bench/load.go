package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/registry"
)

// longStream and shortStream are the numbers of events of the two aggregates that are loaded.
const longStream, shortStream = 10_000, 100

// loadRow loads an aggregate that has a snapshot behind it and one that is short enough to need none. The snapshot is the one
// that the registry's own writer makes; the events after it are those that the policy leaves, none here.
func loadRow(ctx context.Context, l *lab, w *world) error {
	const of = domain.Tenant("loads")
	for model, n := range map[domain.ModelID]int{"long": longStream, "short": shortStream} {
		if err := w.grow(ctx, of, model, n); err != nil {
			return err
		}
	}
	snapshots := registry.NewSnapshots(w.store, registry.DefaultSnapshotPolicy(), nil)
	handler := registry.New(w.store).WithSnapshots(snapshots)
	err := meanwhile(ctx, snapshots.Run, func(ctx context.Context) error {
		if _, err := handler.Model(ctx, of, "long"); err != nil { // leaves the note
			return err
		}
		return w.snapshotted(ctx, string(of), domain.ModelStream("long"))
	})
	if err != nil {
		return fmt.Errorf("make the snapshot: %w", err)
	}
	loading := func(model domain.ModelID) side {
		return task(func(ctx context.Context, _ int) error {
			_, err := registry.New(w.store).Model(ctx, of, model)
			return err
		}).over(1, 1)
	}
	r := row{
		Name:    fmt.Sprintf("load of an aggregate with %d events and a snapshot, 1 client", longStream),
		Against: fmt.Sprintf("one with %d events", shortStream), Times: true, Floor: 1.2, Aim: 1.2,
	}
	return l.compare(ctx, r, loading("long"), loading("short"))
}

// grow makes a model with so many events.
func (w *world) grow(ctx context.Context, of domain.Tenant, model domain.ModelID, n int) error {
	meta := domain.Meta{Actor: domain.Actor{Subject: "bench", Auth: domain.AuthLocal}}
	create := domain.CreateModel{ModelID: model, Name: "Digits", ModelType: "classifier", Algorithm: "mlp"}
	if _, err := registry.New(w.store).Handle(ctx, of, create, meta); err != nil {
		return fmt.Errorf("create model %s: %w", model, err)
	}
	events := make([]eventstore.NewEvent, n-1)
	for i := range events {
		description := fmt.Sprintf("change %d of a description", i)
		var err error
		if events[i], err = encoded(domain.ModelMetadataUpdated{Description: &description}); err != nil {
			return err
		}
	}
	stream := domain.ModelStream(model)
	for batch := range slices.Chunk(events, eventstore.MaxBatchEvents) {
		to := []eventstore.Append{{Stream: eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, Events: batch}}
		if _, err := w.store.Append(ctx, string(of), eventstore.Lifecycle, to, nil); err != nil {
			return fmt.Errorf("grow model %s: %w", model, err)
		}
	}
	return nil
}

// snapshotted waits until a stream has a snapshot.
func (w *world) snapshotted(ctx context.Context, of string, stream domain.StreamID) error {
	want := []eventstore.Want{{
		Stream: eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, Fingerprint: domain.Fingerprint(stream.Type),
	}}
	for {
		found, _, err := w.store.Fetch(ctx, of, eventstore.Lifecycle, want, "")
		if err != nil {
			return err
		}
		if found[0].Snapshot != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
