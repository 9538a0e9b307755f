// Package access knows who may do what: API keys, their roles, and the trail of what was done with them.
//
// What it promises: a key belongs to one tenant and is told once, when it is made; PostgreSQL holds the SHA-256
// of its secret, which is 256 random bits, so a slow password hash would protect nothing. A key that is revoked
// is refused a second later at the most, and two while PostgreSQL has just come back (see Verifier). While
// PostgreSQL is away, keys that were seen in the last hour stand. A change of a key and its line in the trail are
// one transaction. Refusals to a key are in the trail, counted where they are alike, so that no flood of them
// fills it.
//
// What it does not: it reads no request, and it decides no operation's role: the API declares that. A refusal
// to somebody without a known key is nobody's, and is counted and not kept.
package access
