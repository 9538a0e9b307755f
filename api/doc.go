// Package api is Phantom's HTTP API: OpenAPI 3.1 at /openapi.json, answers in JSON, refusals in RFC 9457.
//
// What it promises: tenant and actor come from one place (Identify); an id of another tenant is not found.
// Writes are commands or sagas, so what is asked for twice under one Idempotency-Key happens once. Reads
// come from the read models and carry the log's position that they have seen (Phantom-Position); a caller
// who needs his own write names it (Phantom-Min-Position). No SQL, no driver's words and no stack trace
// leave the process.
//
// What it does not: it decides nothing. It holds no state, so any number of processes can serve it.
package api
