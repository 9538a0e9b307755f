package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/eventstore"
)

// smallPart is the share of the small log in the large one.
const smallPart = 50

// growthRow measures one client's appends in a small log and in the same log when it is large. The rounds can not take
// turns; before each size what is dirty is written, and the tables are vacuumed.
func growthRow(ctx context.Context, l *lab, w *world) error {
	small := l.options.growth / smallPart
	r := row{
		Name:    fmt.Sprintf("append of 1 event, 1 client, p50 at %d events", l.options.growth),
		Against: fmt.Sprintf("at %d, in one run", small), Floor: 1.25, Aim: 1, Times: true,
		Note: "rounds do not take turns",
	}
	var rounds [2][]sample
	filled := 0
	for i, size := range []int{small, l.options.growth} {
		if err := l.fill(ctx, w, filled, size); err != nil {
			return err
		}
		filled = size
		if err := w.settle(ctx); err != nil {
			return err
		}
		work := w.appending(1, l.options.tenants, 1, anywhere).over(1, 1)
		if _, err := work(ctx, l.options.round); err != nil { // caches, connections, statements
			return err
		}
		for range l.options.rounds {
			got, err := work(ctx, l.options.round)
			if err != nil {
				return err
			}
			rounds[i] = append(rounds[i], got)
		}
	}
	for i := range rounds[0] {
		r.add(rounds[1][i], rounds[0][i])
	}
	l.done(r)
	return nil
}

// fill appends batches over all tenants until the log has so many events, and tells how far it is.
func (l *lab) fill(ctx context.Context, w *world, from, to int) error {
	const fillers = 16
	var done atomic.Int64
	done.Store(int64(from))
	begun := time.Now()
	own := writers(fillers, l.options.tenants)
	working, ctx := errgroup.WithContext(ctx)
	for i := range fillers {
		working.Go(func() error {
			for {
				now := done.Add(eventstore.MaxBatchEvents)
				if now > int64(to) {
					return nil
				}
				if err := own[i].append(ctx, w.store, int(now/eventstore.MaxBatchEvents)%l.options.tenants, eventstore.MaxBatchEvents); err != nil {
					return err
				}
				if now%(250*eventstore.MaxBatchEvents) == 0 {
					fmt.Fprintf(l.out, "# filled %d of %d events, %s\n", now, to, time.Since(begun).Round(time.Second))
				}
			}
		})
	}
	return working.Wait()
}
