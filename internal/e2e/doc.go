// Package e2e holds the tests that run Phantom's own binary as a user would, and hurt it: kill -9 in
// the middle of a training, a canary or a compensation, a cancel in every stage of each saga.
//
// What it promises: each test has a database, a Temporal namespace, ports and folders of its own; each
// asserts from the events that the fault fell inside the stage that it names.
package e2e
