package oracle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"phantom/eventstore"
)

// streamType is the aggregate_type of all streams.
const streamType = "Oracle"

// callID names one call of an appender: its process, which life of the process, its worker, a number.
type callID uint64

func newCallID(process, life, worker int, number uint32) callID {
	return callID(uint64(process&0xff)<<56 | uint64(life&0xffff)<<40 | uint64(worker&0xff)<<32 | uint64(number))
}

func (c callID) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", c>>56, c>>40&0xffff, c>>32&0xff, uint32(c)) // the number is its lowest 32 bits
}

// key names one event: the call that it is of, the part of the call, its place there. It is the event's id, so that
// whoever reads the event knows what it should be.
type key struct {
	call        callID
	part, index uint8
}

// keyMark ends an event id of the oracle.
const keyMark = "oracle"

func (k key) uuid() uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(k.call))
	id[8], id[9] = k.part, k.index
	copy(id[10:], keyMark)
	return id
}

// keyOf reads an event id; ok is false for one that is not of the oracle.
func keyOf(id uuid.UUID) (k key, ok bool) {
	return key{callID(binary.BigEndian.Uint64(id[:8])), id[8], id[9]}, string(id[10:]) == keyMark
}

func (k key) String() string { return fmt.Sprintf("%s/%d/%d", k.call, k.part, k.index) }

// MarshalText writes the event id.
func (k key) MarshalText() ([]byte, error) { return []byte(k.uuid().String()), nil }

// UnmarshalText reads an event id.
func (k *key) UnmarshalText(text []byte) error {
	id, err := uuid.ParseBytes(text)
	if err != nil {
		return err
	}
	read, ok := keyOf(id)
	if !ok {
		return fmt.Errorf("event id %s is not of the oracle", id)
	}
	*k = read
	return nil
}

// The types of the events. A row of a Held one waits for an advisory lock before it is there, a row of a Shaky one makes
// its statement fail every other time.
const (
	plainType  = "Plain"
	secondType = "Second"
	rareType   = "Rare"
	heldType   = "Held"
	shakyType  = "Shaky"
)

// eventType is drawn from the key, so that a repetition gives the same.
func (k key) eventType() string {
	id := k.uuid()
	var hash uint64 = 14695981039346656037 // FNV-1a
	for _, b := range id {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	switch n := (hash >> 17) % 1000; {
	case n < 3:
		return heldType
	case n < 5:
		return shakyType
	case n < 15:
		return rareType
	case n < 300:
		return secondType
	default:
		return plainType
	}
}

// event is what is appended under the key; always the same.
func (k key) event() eventstore.NewEvent {
	return eventstore.NewEvent{
		ID: k.uuid(), Type: k.eventType(), Version: 1,
		Data:          fmt.Appendf(nil, `{"call":%q,"part":%d,"index":%d}`, k.call, k.part, k.index),
		OccurredAt:    time.Unix(1_700_000_000+int64(uint32(k.call)), 0),
		CorrelationID: k.call.String(),
	}
}

// belief is an eventstore.Expectation that can be written down.
type belief struct {
	Kind     string `json:"kind"` // any, none, exists, exact
	Revision int64  `json:"revision,omitempty"`
}

func anyRevision() belief         { return belief{Kind: "any"} }
func noStream() belief            { return belief{Kind: "none"} }
func exists() belief              { return belief{Kind: "exists"} }
func exact(revision int64) belief { return belief{Kind: "exact", Revision: revision} }

func (b belief) expectation() eventstore.Expectation {
	switch b.Kind {
	case "none":
		return eventstore.NoStream()
	case "exists":
		return eventstore.Exists()
	case "exact":
		return eventstore.Exact(b.Revision)
	default:
		return eventstore.Any()
	}
}

// call is one append as it is written down before it is sent. The same call can be sent again at any time.
type call struct {
	ID      callID         `json:"id"`
	Log     eventstore.Log `json:"log"`
	Tenant  string         `json:"tenant"`
	Parts   []part         `json:"parts,omitempty"`
	Command string         `json:"command,omitempty"` // id of its command record
	// Refused says why the store must refuse it; empty for a call that it may take.
	Refused string `json:"refused,omitempty"`
}

// part is one stream of a call: events of other calls first, then its own.
type part struct {
	Stream   string `json:"stream"`
	Expect   belief `json:"expect"`
	Borrowed []key  `json:"borrowed,omitempty"`
	Own      int    `json:"own,omitempty"`
	Skip     bool   `json:"skip,omitempty"` // leave out what is stored
}

// keys are the part's events in their order.
func (c call) keys(i int) []key {
	p := c.Parts[i]
	keys := make([]key, 0, len(p.Borrowed)+p.Own)
	keys = append(keys, p.Borrowed...)
	for n := range p.Own {
		keys = append(keys, key{c.ID, uint8(i), uint8(n)}) // a call has few parts, a part few events
	}
	return keys
}

// skips says whether the call leaves out what is stored.
func (c call) skips() bool { return len(c.Parts) > 0 && c.Parts[0].Skip }

// appends is the call as the store takes it.
func (c call) appends() []eventstore.Append {
	all := make([]eventstore.Append, len(c.Parts))
	for i, p := range c.Parts {
		all[i] = eventstore.Append{Stream: eventstore.Stream{Type: streamType, ID: p.Stream}, Expect: p.Expect.expectation(), SkipStored: p.Skip}
		for _, k := range c.keys(i) {
			all[i].Events = append(all[i].Events, k.event())
		}
	}
	return all
}

// record is the call's command. Two calls never have the same request hash.
func (c call) record() *eventstore.CommandRecord {
	if c.Command == "" {
		return nil
	}
	return &eventstore.CommandRecord{
		ID: c.Command, RequestHash: binary.BigEndian.AppendUint64(nil, uint64(c.ID)), Result: json.RawMessage(`{}`),
	}
}
