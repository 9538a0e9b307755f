// Command bench measures what the event store and the read side cost beside the SQL that it stands on. `make bench` runs it on a private
// PostgreSQL that flushes its log to disk.
//
// What it promises: both sides of a row run in one process against one server, with as many connections and clients, in
// rounds that take turns and change who goes first; what is printed is the median of the rounds' ratios and their spread.
// A group of rows has a database of its own, so that no group sees what another one left. A floor that is missed is exit
// status 1.
//
// What it does not: it knows nothing of the rest of the machine. Who else uses the cores and the disk is in the numbers.
package main
