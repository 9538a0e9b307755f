// Package projection follows a log and keeps rows that are made of its events.
//
// What it promises: a tenant's events are applied in position order, each exactly once, however many
// runners overlap: the checkpoint is moved by compare-and-set in the transaction that writes the rows.
// A tenant whose events cannot be applied, or whose rows are locked by somebody, delays no other
// tenant.
//
// An event that cannot be applied is parked, with the later events of its group (Projection.Group), in the transaction that
// moves the checkpoint past them: everything else flows on, and Retry applies what is parked in its order. What is no
// event's fault never parks: a database or a network that fails, a lock, a table or a right that is missing; then the
// tenant stops there, tries again from time to time, and the status says why. So it does at an event that does not fit its
// digest (eventstore.ErrCorrupt): its very stream is not to be believed, so nobody can say which rows could go on without it.
//
// A projection has generations of its rows. Rebuild fills the next one beside the live one, and puts it in its place in one
// transaction once it has seen as much; the old one is kept, and applied, until it is dropped, so Back is instant and loses
// nothing. Pause, Rewind and the rest are written down in PostgreSQL, where every runner finds them.
//
// What it does not: it decodes no event and knows no table but its own and those that a projection names. Rows written by
// Apply outside of its transaction are outside of these promises.
//
// Two runners of one projection: the younger takes a higher epoch, the older stands back when it meets
// that epoch, and takes over again when the younger leaves or is silent. See eventstore/follow.
package projection

import (
	"context"

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
	// Group names what an event is parked with: the rows of two groups never depend on each other, and the events of a
	// stream are of one group. It works on an event that cannot be decoded.
	Group(e eventstore.Event) string
	// Prompt tells whether people look for what they have just changed: others let events gather for a second
	// while there is much to do, which costs less.
	Prompt() bool
	// Tables are all that Apply writes.
	Tables() []Table
	// Apply makes the rows of one tenant's events, at least one, in position order, in a generation. It queues what it asks
	// the database, and returns what writes the rows once that is answered, or nil if there are none. Within a group no event
	// comes after a later one; between groups a retry may. The events are other followers' too, and not to be changed. All runs
	// in one transaction, which carries the tenant for row-level security, is shared with other tenants, and is rolled back on
	// an error. An error that PostgreSQL or the network is not to blame for is the event's: see the package.
	Apply(ask *Questions, generation int, events []eventstore.Event) (Write, error)
}

// Write queues what writes the rows.
type Write func(rows *Rows) error

// Table is a table of a projection, in the schema phantom; it has the columns tenant_id and generation.
type Table struct {
	Name string
	Kind TableKind
}

// TableKind says what a table's rows remember, and so how far they can be taken back.
type TableKind int

// The kinds of tables.
const (
	// History rows are so from from_position up to to_position.
	History TableKind = iota
	// Appended rows are of one event, at position, and never changed.
	Appended
	// Counted rows remember no position: they are taken back as a whole.
	Counted
)

// Feed is where events come from: the event store, or the in-memory one.
type Feed interface {
	// Heads tells each tenant's last position.
	Heads(ctx context.Context, log eventstore.Log) (map[string]int64, error)
	// ReadAfter reads at most limit events of the types after each cursor. A page's Err is its tenant's alone.
	ReadAfter(ctx context.Context, log eventstore.Log, cursors []eventstore.Cursor, types []string,
		limit int) ([]eventstore.Page, error)
	// ReadAt reads the events at positions of one tenant's log, in order.
	ReadAt(ctx context.Context, tenant string, log eventstore.Log, positions []int64) ([]eventstore.Event, error)
}
