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

// follow runs a tail of a store and live followers, which begin at the heads, until the context ends. They read from a
// pool of their own. The appends are of the same process when the store is the one that they go to, else of another one.
func (w *world) follow(ctx context.Context, of *eventstore.Store, seen *lags) error {
	tail := eventstore.NewTail(of, eventstore.Lifecycle)
	reader := eventstore.NewReader(eventstore.New(w.reading), tail)
	working, ctx := errgroup.WithContext(ctx)
	working.Go(func() error { return tail.Run(ctx) })
	if of != w.store { // the other process has a tail too, which notifies
		working.Go(func() error { return eventstore.NewTail(w.store, eventstore.Lifecycle).Run(ctx) })
	}
	for range followers {
		working.Go(func() error {
			news := tail.News()
			defer news.Close()
			at, err := reader.Heads(ctx, eventstore.Lifecycle)
			for err == nil {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-news.C():
				}
				err = catchUp(ctx, reader, at, news.Take(), seen)
			}
			return cmp.Or(ctx.Err(), err)
		})
	}
	return working.Wait()
}

// catchUp reads what is new of the tenants that have news.
func catchUp(ctx context.Context, reader *eventstore.Reader, at, news map[string]int64, seen *lags) error {
	var cursors []eventstore.Cursor
	for tenant, head := range news {
		if head > at[tenant] {
			cursors = append(cursors, eventstore.Cursor{Tenant: tenant, After: at[tenant]})
		}
	}
	pages, err := reader.ReadAfter(ctx, eventstore.Lifecycle, cursors, nil, 1000)
	for _, p := range pages {
		at[p.Tenant] = p.Through
		seen.add(p.Events)
	}
	return err
}

// followed runs work beside live followers.
func (w *world) followed(ctx context.Context, of *eventstore.Store, seen *lags, work func(context.Context) error) error {
	return meanwhile(ctx, func(ctx context.Context) error { return w.follow(ctx, of, seen) }, work)
}

func followRows(ctx context.Context, l *lab, w *world) error {
	own := row{Name: "live followers", Floor: 0.9, Aim: 0.9}
	if err := l.follows(ctx, w, w.store, own); err != nil {
		return err
	}
	return l.follows(ctx, w, eventstore.New(w.reading), row{Name: "live followers of another process"})
}

// follows compares appends beside followers of a store to appends alone.
func (l *lab) follows(ctx context.Context, w *world, of *eventstore.Store, r row) error {
	const clients = 16
	seen := &lags{}
	appends := w.appending(clients, l.options.tenants, 1, anywhere).over(clients, 1)
	// Followers that start ask for every tenant's place. So on both sides a part of each round passes before it is measured.
	work := func(ctx context.Context, d time.Duration) (sample, error) {
		if _, err := appends(ctx, d/2); err != nil {
			return sample{}, err
		}
		return appends(ctx, d)
	}
	with := func(ctx context.Context, d time.Duration) (got sample, err error) {
		err = w.followed(ctx, of, seen, func(ctx context.Context) (err error) {
			got, err = work(ctx, d)
			return err
		})
		return got, err
	}
	r.Name = fmt.Sprintf("append of 1 event, %d clients over %d tenants, %d %s", clients, l.options.tenants, followers, r.Name)
	r.Against = "no follower"
	if err := l.compare(ctx, r, with, work); err != nil {
		return err
	}
	l.note(seen.String())
	return nil
}
