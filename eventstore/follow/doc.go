// Package follow follows a log for all of its tenants: a Loop drives whoever keeps cursors, and Subscribe is the
// follower that a Go program uses, with cursors in PostgreSQL.
//
// What a subscription promises: a tenant's events are delivered in position order, each at least once; none is skipped.
// A tenant's cursor moves when the handler has returned nil, by compare-and-set and never back, so what was acknowledged
// is not delivered again, and what was in flight when a runner died is. A handler that fails stops its tenant, which is
// tried again, later each time; an event that does not fit its digest does so too. No other tenant waits, unless as many
// as there are workers are slow at once. New tenants appear by themselves.
//
// What it does not: one event may be delivered to two runners while the younger takes over from the older. A handler
// whose effects must happen once acknowledges in the transaction of its effects, see Delivery.Acknowledge; or its effects
// are idempotent by event id.
//
// Of several runners of one subscription the youngest works. The others learn it at their next beat, or when they want
// to acknowledge, which they no longer can; they stand by, and take over when the youngest leaves or is silent.
//
// Cursors are acknowledged together: when a tenant has nothing more, after so many events or so long, and at the end.
package follow
