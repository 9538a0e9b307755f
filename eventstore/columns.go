package eventstore

import (
	"bytes"
	"cmp"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// streamColumns are the streams of a call, a slice a column.
type streamColumns struct {
	types, ids []string
	from, to   []int64
	skip       []bool
	ofEvent    []int32 // of each event the number of its stream, from 1
}

func (c *streamColumns) add(a Append) {
	from, to := a.Expect.bounds()
	c.types = append(c.types, a.Stream.Type)
	c.ids = append(c.ids, a.Stream.ID)
	c.from = append(c.from, from)
	c.to = append(c.to, to)
	c.skip = append(c.skip, a.SkipStored)
}

// join adds the streams of another call, but not whose events are whose.
func (c *streamColumns) join(other streamColumns) {
	c.types = append(c.types, other.types...)
	c.ids = append(c.ids, other.ids...)
	c.from = append(c.from, other.from...)
	c.to = append(c.to, other.to...)
	c.skip = append(c.skip, other.skip...)
}

func (c *streamColumns) args() []any {
	return []any{orEmpty(c.types), orEmpty(c.ids), orEmpty(c.from), orEmpty(c.to), orEmpty(c.skip), orEmpty(c.ofEvent)}
}

// eventColumns are the events of a call, a slice a column.
type eventColumns struct {
	ids                    []pgtype.UUID
	types                  []string
	versions               []int32
	data, metadata         []string
	occurred               []time.Time
	causation, correlation []*string
	digests                [][]byte
	bytes                  int // of data and metadata
}

func (c *eventColumns) add(tenant string, stream Stream, e NewEvent) {
	e = e.normal()
	digest := Digest(tenant, stream, e)
	c.ids = append(c.ids, pgtype.UUID{Bytes: e.ID, Valid: true})
	c.types = append(c.types, e.Type)
	c.versions = append(c.versions, int32(e.Version))
	c.data = append(c.data, string(e.Data))
	c.metadata = append(c.metadata, string(e.Metadata))
	c.occurred = append(c.occurred, e.OccurredAt)
	c.causation = append(c.causation, orNull(e.CausationID))
	c.correlation = append(c.correlation, orNull(e.CorrelationID))
	c.digests = append(c.digests, digest[:])
	c.bytes += len(e.Data) + len(e.Metadata)
}

// recorded is an event as it is read, as far as these columns tell.
func (c *eventColumns) recorded(i int) Event {
	return Event{
		EventID: c.ids[i].Bytes, EventType: c.types[i], EventVersion: int(c.versions[i]),
		EventData: []byte(c.data[i]), Metadata: []byte(c.metadata[i]), OccurredAt: c.occurred[i],
		CausationID: c.causation[i], CorrelationID: c.correlation[i], Digest: c.digests[i],
	}
}

func (c *eventColumns) args() []any {
	return []any{
		orEmpty(c.ids), orEmpty(c.types), orEmpty(c.versions), orEmpty(c.data), orEmpty(c.metadata),
		orEmpty(c.occurred), orEmpty(c.causation), orEmpty(c.correlation), orEmpty(c.digests),
	}
}

// join adds the columns of another call.
func (c *eventColumns) join(other eventColumns) {
	c.ids = append(c.ids, other.ids...)
	c.types = append(c.types, other.types...)
	c.versions = append(c.versions, other.versions...)
	c.data = append(c.data, other.data...)
	c.metadata = append(c.metadata, other.metadata...)
	c.occurred = append(c.occurred, other.occurred...)
	c.causation = append(c.causation, other.causation...)
	c.correlation = append(c.correlation, other.correlation...)
	c.digests = append(c.digests, other.digests...)
}

func (c *CommandRecord) clone() *CommandRecord {
	if c == nil {
		return nil
	}
	return &CommandRecord{ID: c.ID, RequestHash: bytes.Clone(c.RequestHash), Result: bytes.Clone(c.Result)}
}

func (c *CommandRecord) args() []any {
	id, hash, result := c.columns()
	return []any{id, hash, result}
}

// columns are nulls for no command.
func (c *CommandRecord) columns() (id *string, hash []byte, result *string) {
	if c == nil {
		return nil, nil, nil
	}
	text := cmp.Or(string(c.Result), "null")
	return &c.ID, c.RequestHash, &text
}

// orEmpty keeps a nil slice from becoming a null array.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
