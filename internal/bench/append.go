package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const oneInsert = "one prepared INSERT of one row, same table, indexes and policies"

// appendRows: one event a call with an exact expectation.
func appendRows(ctx context.Context, l *lab, w *world) error {
	positions := &numbers{}
	for _, c := range []struct {
		clients    int
		floor, aim float64
	}{{1, 0.6, 0.8}, {16, 0.5, 1}, {64, 1.2, 2}} {
		r := row{
			Name:    fmt.Sprintf("append of 1 event, exact, %d clients over %d tenants", c.clients, l.options.tenants),
			Against: oneInsert, Floor: c.floor, Aim: c.aim,
		}
		ours := w.appending(c.clients, l.options.tenants, 1, anywhere)
		theirs := w.inserting(c.clients, l.options.tenants, positions, anywhere)
		if err := w.settle(ctx); err != nil {
			return err
		}
		if err := l.compare(ctx, r, ours.over(c.clients, 1), theirs.over(c.clients, 1)); err != nil {
			return err
		}
	}
	const clients = 64
	r := row{Name: "the same on one hot tenant, 64 clients", Against: oneInsert, Floor: 1.5, Aim: 2.3}
	return l.compare(ctx, r, w.appending(clients, 1, 1, hot).over(clients, 1), w.inserting(clients, 1, positions, hot).over(clients, 1))
}

// batchRows: a hundred events a call. That it is one round trip is asserted by eventstore's TestOneRoundTrip.
func batchRows(ctx context.Context, l *lab, w *world) error {
	const events = 100
	positions := &numbers{}
	for _, c := range []struct {
		clients    int
		floor, aim float64
	}{{1, 0.75, 0.9}, {16, 0, 0}} {
		r := row{
			Name:    fmt.Sprintf("append of %d events in one call, %d clients over %d tenants", events, c.clients, l.options.tenants),
			Against: "INSERT … SELECT unnest of the same rows", Floor: c.floor, Aim: c.aim,
			Note: "one round trip: TestOneRoundTrip",
		}
		ours := w.appending(c.clients, l.options.tenants, events, anywhere)
		theirs := w.insertingMany(c.clients, l.options.tenants, events, positions, anywhere)
		if err := w.settle(ctx); err != nil {
			return err
		}
		if err := l.compare(ctx, r, ours.over(c.clients, events), theirs.over(c.clients, events)); err != nil {
			return err
		}
	}
	return nil
}

// snapshotRow: appends run for the whole time that somebody else's snapshot is open, and are measured at the end of it.
func snapshotRow(ctx context.Context, l *lab, w *world) error {
	const clients = 16
	work := w.appending(clients, l.options.tenants, 1, anywhere)
	without := work.over(clients, 1)
	into := func(ctx context.Context, d time.Duration) (got sample, err error) {
		tx, err := w.admin.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		if err != nil {
			return sample{}, err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only read
		if _, err := tx.Exec(ctx, "select count(*) from lifecycle.heads"); err != nil {
			return sample{}, err
		}
		if _, err := without(ctx, l.options.snapshot); err != nil {
			return sample{}, err
		}
		return without(ctx, d)
	}
	r := row{
		Name:    fmt.Sprintf("append of 1 event, %d clients, %s into a foreign open snapshot", clients, l.options.snapshot),
		Against: "without it", Floor: 0.9, Aim: 0.9,
	}
	return l.compare(ctx, r, into, without)
}
