package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/eventstore"
)

const followers = 8

// lags are how long after they were recorded the followers saw events.
type lags struct {
	mu   sync.Mutex
	seen []time.Duration
}

func (s *lags) add(events []eventstore.Event) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.seen = append(s.seen, now.Sub(e.RecordedAt))
	}
}

func (s *lags) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		return "the followers saw nothing"
	}
	slices.Sort(s.seen)
	return fmt.Sprintf("%d followers saw %d events, after p50 %.1f ms, p99 %.1f ms", followers, len(s.seen),
		milliseconds(s.seen[len(s.seen)/2]), milliseconds(s.seen[len(s.seen)*99/100]))
}

// follow runs a tail and live followers, which begin at the heads, until the context ends. They read from a pool of their
// own, as those of another process would.
func (w *world) follow(ctx context.Context, store *eventstore.Store, seen *lags) error {
	tail := eventstore.NewTail(w.store, eventstore.Lifecycle)
	working, ctx := errgroup.WithContext(ctx)
	working.Go(func() error { return tail.Run(ctx) })
	for range followers {
		working.Go(func() error {
			news := tail.News()
			defer news.Close()
			at, err := store.Heads(ctx, eventstore.Lifecycle)
			for err == nil {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-news.C():
				}
				err = catchUp(ctx, store, at, news.Take(), seen)
			}
			return cmp.Or(ctx.Err(), err)
		})
	}
	return working.Wait()
}

// catchUp reads what is new of the tenants that have news.
func catchUp(ctx context.Context, store *eventstore.Store, at, news map[string]int64, seen *lags) error {
	var cursors []eventstore.Cursor
	for tenant, head := range news {
		if head > at[tenant] {
			cursors = append(cursors, eventstore.Cursor{Tenant: tenant, After: at[tenant]})
		}
	}
	pages, err := store.ReadAfter(ctx, eventstore.Lifecycle, cursors, nil, 1000)
	for _, p := range pages {
		at[p.Tenant] = p.Through
		seen.add(p.Events)
	}
	return err
}

// followed runs work beside live followers.
func (w *world) followed(ctx context.Context, seen *lags, work func(context.Context) error) error {
	store := eventstore.New(w.reading)
	return meanwhile(ctx, func(ctx context.Context) error { return w.follow(ctx, store, seen) }, work)
}

func followRow(ctx context.Context, l *lab, w *world) error {
	const clients = 16
	seen := &lags{}
	work := w.appending(clients, l.options.tenants, 1, anywhere).over(clients, 1)
	with := func(ctx context.Context, d time.Duration) (got sample, err error) {
		err = w.followed(ctx, seen, func(ctx context.Context) (err error) {
			got, err = work(ctx, d)
			return err
		})
		return got, err
	}
	r := row{
		Name:    fmt.Sprintf("append of 1 event, %d clients over %d tenants, %d live followers", clients, l.options.tenants, followers),
		Against: "no follower", Floor: 0.9, Aim: 0.9,
	}
	if err := l.compare(ctx, r, with, work); err != nil {
		return err
	}
	l.note(seen.String())
	return nil
}
