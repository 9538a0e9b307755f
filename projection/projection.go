// Package projection follows a log and keeps rows that are made of its events.
//
// What it promises: a tenant's events are applied in position order, each exactly once, however many
// runners overlap: the checkpoint is moved by compare-and-set in the transaction that writes the rows.
// A tenant whose events cannot be applied, or whose rows are locked by somebody, delays no other
// tenant. An event that cannot be applied is never skipped: its tenant's projection stops there, tries
// again from time to time, and the status says why.
//
// What it does not: it decodes no event and knows no table but its own. Rows written by Apply outside
// of its transaction are outside of these promises.
//
// Two runners of one projection: the younger takes a higher epoch, the older stands back when it meets
// that epoch, and takes over again when the younger leaves or is silent. See eventstore/follow.
package projection

import (
	"context"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
)

// Projection makes rows of events.
type Projection interface {
	// Name is what checkpoints are kept under; it never changes.
	Name() string
	// Log is the log that is followed.
	Log() eventstore.Log
	// Types are the event types that Apply gets; others pass by.
	Types() []string
	// Apply writes the rows of one tenant's events, at least one, in position order, into a generation. The events are other
	// followers' too, and not to be changed.
	// The transaction carries the tenant for row-level security, and is rolled back on an error. An
	// error that PostgreSQL or the network is not to blame for is the event's: see the package.
	Apply(ctx context.Context, tx pgx.Tx, generation int, events []eventstore.Event) error
}

// Feed is where events come from: the event store, or the in-memory one.
type Feed interface {
	// Heads tells each tenant's last position.
	Heads(ctx context.Context, log eventstore.Log) (map[string]int64, error)
	// ReadAfter reads at most limit events of the types after each cursor. A page's Err is its tenant's alone.
	ReadAfter(ctx context.Context, log eventstore.Log, cursors []eventstore.Cursor, types []string,
		limit int) ([]eventstore.Page, error)
}
