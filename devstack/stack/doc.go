// Package stack runs a private PostgreSQL, a Temporal development server and a Phantom worker for one
// folder, on Linux and macOS.
//
// What it promises: one process, the supervisor, owns every part. A second supervisor on the same
// state folder is refused. Up answers when every part has proved that it serves. Close stops the parts
// in reverse order. When the supervisor dies, by whatever means, its parts die too: on Linux the
// kernel signals them (Pdeathsig), elsewhere a guard process does; what neither could do, the next
// start does, which knows the parts by process id and start time. A part that dies is reported and
// left dead until Revive. DATABASE_URL and TEMPORAL_ADDRESS each replace a part.
//
// What it does not: it is no way to run Phantom in production. Data is durable, but nothing is
// backed up, encrypted or reachable from another machine.
//
// The state folder holds
//
//	lock                the supervisor's lock, held as long as it lives
//	stack.json          where the parts are, with their process ids (mode 0600: it holds passwords)
//	secrets.json        the passwords of the private PostgreSQL (mode 0600)
//	ports.json          the ports of the last start, which the next start prefers
//	postgres/           its data, or postgres.location, which says where the data lies instead
//	temporal-V.db       the Temporal server's SQLite file; V is the server's version
//	logs/               what the parts print
package stack
