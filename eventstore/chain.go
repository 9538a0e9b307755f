package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Link is what the last event of each append call and log carries: all of the log's chained history in 32 bytes.
//
//	link = SHA-256(previous link || for each event of the call in the order of its positions:
//	       position (int64) || revision (int64) || recorded_at (microseconds since 2000-01-01 UTC, int64) || digest (32 bytes))
//
// Numbers are big-endian, as PostgreSQL's int8send and timestamptz_send write them. Where the log's last event has no
// link, the previous one is FirstLink. The append functions compute it in SQL (migrations/shared/link.sql); this is the
// second opinion.
type Link [sha256.Size]byte

// FirstLink stands before a log's first link. It names the log, so that no log can stand in for another:
//
//	SHA-256("phantom.chain.1 <log> <tenant>")
func FirstLink(log Log, tenant string) Link {
	return sha256.Sum256([]byte("phantom.chain.1 " + string(log) + " " + tenant))
}

// Next is the link of a call with the events, which stand one after the other in their log.
func (l Link) Next(events ...Event) Link {
	covered := make([]cover, len(events))
	for i, e := range events {
		covered[i] = coverOf(e)
	}
	return l.over(covered)
}

func (l Link) String() string { return hex.EncodeToString(l[:]) }

// cover is what a link covers of one event.
type cover [8 + 8 + 8 + sha256.Size]byte

// postgresEpoch is what PostgreSQL counts instants from.
func postgresEpoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func coverOf(e Event) (c cover) {
	recorded := e.RecordedAt.UnixMicro() - postgresEpoch().UnixMicro()
	binary.BigEndian.PutUint64(c[0:], uint64(e.Position))
	binary.BigEndian.PutUint64(c[8:], uint64(e.AggregateVersion))
	binary.BigEndian.PutUint64(c[16:], uint64(recorded))
	copy(c[24:], e.Digest)
	return c
}

func (l Link) over(covered []cover) Link {
	hash := sha256.New()
	hash.Write(l[:])
	for i := range covered {
		hash.Write(covered[i][:])
	}
	return Link(hash.Sum(nil))
}
