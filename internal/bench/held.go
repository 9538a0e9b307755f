package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/eventstore"
)

// heldRow: somebody else holds one tenant's head, and of those who append to it nobody gets on. What do all the others
// feel?
func heldRow(ctx context.Context, l *lab, w *world) error {
	n := l.options.tenants
	round := l.options.hold / time.Duration(l.options.rounds)
	own := writers(crowd, n)
	free := inTurn(stuck, 1, n)
	others := task(func(ctx context.Context, client int) error {
		return own[client+stuck].append(ctx, w.store, free(nil, client+stuck), 1)
	})
	r := row{
		Name:    fmt.Sprintf("%d goroutines, one tenant's head held for %s: the others' p99", crowd, l.options.hold),
		Against: "before", Floor: 1.25, Aim: 1, Times: true, Note: "the ratio is of p99; rounds do not take turns",
	}
	seen := &lags{}
	waiting := func(ctx context.Context) error {
		working, ctx := errgroup.WithContext(ctx)
		for _, me := range own[:stuck] {
			working.Go(func() error { return w.knocking(ctx, me) })
		}
		return working.Wait()
	}
	err := w.followed(ctx, w.store, seen, func(ctx context.Context) error {
		return meanwhile(ctx, waiting, func(ctx context.Context) error {
			if _, err := others.drive(ctx, crowd-stuck, 1, l.options.round); err != nil {
				return err
			}
			before, err := l.series(ctx, others, round)
			if err != nil {
				return err
			}
			during, err := w.holding(ctx, tenant("own", 0), func() ([]sample, error) { return l.series(ctx, others, round) })
			if err != nil {
				return err
			}
			middle := median(p99s(before))
			for i, s := range during {
				r.ours, r.theirs = append(r.ours, s), append(r.theirs, before[i])
				r.Ratios = append(r.Ratios, float64(s.P99)/float64(middle))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	l.done(r)
	l.note(seen.String())
	return nil
}

func (l *lab) series(ctx context.Context, work task, round time.Duration) (all []sample, err error) {
	for range l.options.rounds {
		got, err := work.drive(ctx, crowd-stuck, 1, round)
		if err != nil {
			return nil, err
		}
		all = append(all, got)
	}
	return all, nil
}

func p99s(all []sample) (times []time.Duration) {
	for _, s := range all {
		times = append(times, s.P99)
	}
	return times
}

// holding runs while another connection holds a tenant's head.
func (w *world) holding(ctx context.Context, name string, do func() ([]sample, error)) ([]sample, error) {
	tx, err := w.admin.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only locked
	if _, err := tx.Exec(ctx, "select from lifecycle.heads where tenant_id = $1 for no key update", name); err != nil {
		return nil, fmt.Errorf("hold the head of tenant %s: %w", name, err)
	}
	return do()
}

// knockEvery is how often each of those who want the held tenant appends, so that they take as little from the others
// while they get on as while they do not.
const knockEvery = 50 * time.Millisecond

// knocking appends to one tenant, whose head may be held, until the context ends: calls that are given up are made again.
func (w *world) knocking(ctx context.Context, me *writer) error {
	turn := time.NewTicker(knockEvery)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-turn.C:
		}
		_, err := w.store.Append(ctx, tenant("own", 0), eventstore.Lifecycle, []eventstore.Append{{Stream: me.stream, Events: me.events(1)}}, nil)
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}
