// Package oracle puts the event store under faults and judges afterwards, from what was acknowledged and from the
// tables themselves, whether it kept its word.
//
// What it promises: two processes append with every kind of expectation to both logs, followers of several kinds read
// them, and meanwhile transactions roll back, backends are killed, statements time out, connections are cut, processes
// are stopped and killed, and PostgreSQL itself is stopped at once and recovers. Each call is in a file before it is
// sent and its answer before it counts. At the end every event is where it was acknowledged, in dense order, and was
// delivered once and in order to every follower; else the report says what was not so. The seed decides what is drawn,
// not how the machine runs it: a run cannot be repeated step by step.
//
// A naive reader (position > last, over a sequence) runs along, on a table that the same processes write. It must be
// seen to lose rows: a run in which it does not could not have shown anything, and fails.
//
// What it does not: it tests no limits, no snapshots and no projection, and it measures nothing but its own pace.
package oracle
