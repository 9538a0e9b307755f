// Command phantom-worker does Phantom's work: it runs the sagas, their activities, the projections, the
// HTTP API, the inference gateway and the embedded model server, or those of them that PHANTOM_ROLES
// names.
//
// What it promises: on SIGTERM it stops taking work, gives what runs 30 seconds to save itself, and ends;
// after kill -9 another one goes on where it stood. A role waits for PostgreSQL and Temporal instead of
// ending the process, and the gateway and the model server serve without them.
//
// What it does not: it makes no schema by itself (`phantom-worker migrate up` does, as the owner), and it
// refuses to serve with a login that row-level security does not hold.
package main
