package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/internal/config"
)

// lab is one run of the program.
type lab struct {
	options options
	server  config.StackPostgres
	out     io.Writer
	report  report
}

// measure runs a group in a database of its own.
func (l *lab) measure(ctx context.Context, g group) (err error) {
	w, err := newWorld(ctx, l.server, l.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	return g.run(ctx, l, w)
}

// done adds a row to the report and prints it.
func (l *lab) done(r row) {
	r.summarize()
	l.report.Rows = append(l.report.Rows, r)
	fmt.Fprintln(l.out, r.line())
}

// note adds a remark to the last row.
func (l *lab) note(text string) {
	last := &l.report.Rows[len(l.report.Rows)-1]
	last.Note = strings.TrimPrefix(last.Note+"; "+text, "; ")
	fmt.Fprintln(l.out, "#", text)
}

// sample is what one side did in a round.
type sample struct {
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
}

// side runs its work for a while.
type side func(ctx context.Context, d time.Duration) (sample, error)

// compare lets two sides take turns. What each does before the first round is not measured: it connects, prepares its
// statements and fills caches.
func (l *lab) compare(ctx context.Context, r row, ours, theirs side) error {
	sides := [2]side{ours, theirs}
	for _, s := range sides {
		if _, err := s(ctx, l.options.round/2); err != nil {
			return fmt.Errorf("warm up %s: %w", r.Name, err)
		}
	}
	for n := range l.options.rounds {
		var got [2]sample
		for i := range sides {
			which := (i + n) % 2 // who goes first changes
			var err error
			if got[which], err = sides[which](ctx, l.options.round); err != nil {
				return fmt.Errorf("round %d of %s: %w", n+1, r.Name, err)
			}
		}
		r.add(got[0], got[1])
	}
	l.done(r)
	return nil
}

// task is one call of a client.
type task func(ctx context.Context, client int) error

// over makes a side of a task and so many clients, each of which calls again when it was answered. events is how many
// events each call is about.
func (t task) over(clients, events int) side {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		return t.drive(ctx, clients, events, d)
	}
}

func (t task) drive(ctx context.Context, clients, events int, d time.Duration) (sample, error) {
	took := make([][]time.Duration, clients)
	begun := time.Now()
	working, ctx := errgroup.WithContext(ctx)
	for c := range clients {
		working.Go(func() error {
			for now := begun; now.Sub(begun) < d; {
				if err := t(ctx, c); err != nil {
					return fmt.Errorf("client %d: %w", c, err)
				}
				then := time.Now()
				took[c] = append(took[c], then.Sub(now))
				now = then
			}
			return nil
		})
	}
	if err := working.Wait(); err != nil {
		return sample{}, err
	}
	return summary(slices.Concat(took...), events, time.Since(begun)), nil
}

// summary is the sample of calls that took so long each, in so long a time.
func summary(took []time.Duration, events int, wall time.Duration) sample {
	if len(took) == 0 {
		return sample{}
	}
	slices.Sort(took)
	return sample{
		PerSecond: float64(len(took)*events) / wall.Seconds(),
		P50:       took[len(took)/2],
		P99:       took[min(len(took)*99/100, len(took)-1)],
	}
}

// meanwhile runs background work until the function returns. What the work fails with, other than its end, is joined.
func meanwhile(ctx context.Context, work func(context.Context) error, do func(context.Context) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	var over atomic.Bool
	go func() {
		err := work(inner)
		if over.Load() && errors.Is(err, context.Canceled) {
			err = nil
		}
		ended <- err
	}()
	err := do(ctx)
	over.Store(true)
	cancel()
	return errors.Join(err, <-ended)
}
