package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// digestFormat opens what is hashed, so that another format can never give the same bytes.
const digestFormat = "phantom.event.1"

// Digest is the SHA-256 of what the caller gave. Hashed are these fields in this order, each after its length in bytes
// as a big-endian uint64, so that no two events give the same bytes:
//
//	"phantom.event.1", tenant_id, aggregate_type, aggregate_id, event_id (16 bytes), event_type,
//	event_version (int64, big-endian), event_data, metadata (as given, byte for byte),
//	occurred_at (microseconds since 1970 in UTC, int64, big-endian), causation_id, correlation_id (empty if none)
//
// Metadata that was not given counts as {}. Position, revision and recorded_at are the store's, and not in it.
func Digest(tenant string, stream Stream, event NewEvent) [sha256.Size]byte {
	event = event.normal()
	hash := sha256.New()
	buffer := make([]byte, 0, 512)
	text := func(s string) {
		buffer = binary.BigEndian.AppendUint64(buffer, uint64(len(s)))
		buffer = append(buffer, s...)
	}
	number := func(n int64) {
		buffer = binary.BigEndian.AppendUint64(buffer, 8)
		buffer = binary.BigEndian.AppendUint64(buffer, uint64(n))
	}
	text(digestFormat)
	text(tenant)
	text(stream.Type)
	text(stream.ID)
	text(string(event.ID[:]))
	text(event.Type)
	number(int64(event.Version))
	text(string(event.Data))
	text(string(event.Metadata))
	number(event.OccurredAt.UnixMicro())
	text(event.CausationID)
	text(event.CorrelationID)
	hash.Write(buffer)
	return [sha256.Size]byte(hash.Sum(nil))
}

// normal is the event as it is stored.
func (e NewEvent) normal() NewEvent {
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Microsecond)
	if len(e.Metadata) == 0 {
		e.Metadata = []byte(`{}`)
	}
	return e
}

// Verify returns ErrCorrupt unless the event is what was appended.
func (e Event) Verify() error {
	given := NewEvent{
		ID: e.EventID, Type: e.EventType, Version: e.EventVersion, Data: e.EventData, Metadata: e.Metadata,
		OccurredAt: e.OccurredAt, CausationID: optional(e.CausationID), CorrelationID: optional(e.CorrelationID),
	}
	digest := Digest(e.TenantID, Stream{Type: e.AggregateType, ID: e.AggregateID}, given)
	if string(digest[:]) != string(e.Digest) {
		return fmt.Errorf("%w: tenant %s, position %d, stream %s %s, revision %d; compare with a backup",
			ErrCorrupt, e.TenantID, e.Position, e.AggregateType, e.AggregateID, e.AggregateVersion)
	}
	return nil
}

func optional(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
