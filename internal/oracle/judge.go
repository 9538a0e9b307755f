package oracle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// row is one event as the table has it.
type row struct {
	position   int64
	id         uuid.UUID
	eventType  string
	streamType string
	stream     string
	revision   int64
	recorded   time.Time
}

// shelf is what followers are held against: a tenant's log, an entry a position.
type shelf struct {
	first  int64
	events []shelved
	types  []string // by shelved.kind
}

type shelved struct {
	sum  uint64
	kind uint8
}

func newShelf() *shelf { return &shelf{first: 1} }

func (s *shelf) put(r row) {
	kind := slices.Index(s.types, r.eventType)
	if kind < 0 {
		kind = len(s.types)
		s.types = append(s.types, r.eventType)
	}
	s.events = append(s.events, shelved{sum: checksum(r.position, [16]byte(r.id)), kind: uint8(kind)}) // there are few types
}

// findings count what broke a promise, and tell the first of each kind.
type findings struct {
	counts map[string]int
	told   []string
}

const mostTold = 3 // of each kind

func newFindings() *findings { return &findings{counts: make(map[string]int)} }

func (f *findings) add(kind, format string, args ...any) { f.addN(kind, 1, format, args...) }

func (f *findings) addN(kind string, n int, format string, args ...any) {
	if f.counts[kind] < mostTold {
		f.told = append(f.told, kind+": "+fmt.Sprintf(format, args...))
	}
	f.counts[kind] += n
}

// The kinds of findings.
const (
	lost      = "lost"         // acknowledged, and not there
	doubled   = "doubled"      // there more than once
	outOfLine = "out of order" // positions, revisions or times that are not dense and rising
	ghost     = "ghost"        // there, though it was refused or never sent
	torn      = "torn"         // a call of which only a part is there, or which lies apart
	misplaced = "misplaced"    // not where it was acknowledged
	disbelief = "disbelief"    // an expectation that did not hold when the call was taken
	answers   = "answer"       // an answer that breaks a promise, seen by an appender
	commands  = "command"      // a command record that is missing, or there though its call was refused
)

// judge reads one tenant's log in order and holds it against the book.
type judge struct {
	book      *book
	log       eventstore.Log
	tenant    string
	found     *findings
	position  int64
	recorded  time.Time
	revisions map[string]int64
	rest      []key // of the call whose events are being read: what must come next
	shelf     *shelf
}

func newJudge(b *book, log eventstore.Log, tenant string, found *findings) *judge {
	return &judge{book: b, log: log, tenant: tenant, found: found, revisions: make(map[string]int64), shelf: newShelf()}
}

func (j *judge) where(r row) string {
	return fmt.Sprintf("%s log of %s, position %d (stream %s, revision %d)", j.log, j.tenant, r.position, r.stream, r.revision)
}

func (j *judge) see(r row) {
	j.shelf.put(r)
	if r.position != j.position+1 {
		j.found.add(outOfLine, "%s follows position %d", j.where(r), j.position)
	}
	if r.revision != j.revisions[r.stream]+1 {
		j.found.add(outOfLine, "%s follows revision %d", j.where(r), j.revisions[r.stream])
	}
	if r.recorded.Before(j.recorded) {
		j.found.add(outOfLine, "%s was recorded at %s, its predecessor at %s", j.where(r), r.recorded, j.recorded)
	}
	j.hold(r)
	j.position, j.recorded = r.position, r.recorded
	j.revisions[r.stream] = r.revision
}

// hold finds the call of an event.
func (j *judge) hold(r row) {
	k, ours := keyOf(r.id)
	h := j.book.calls[k.call]
	if !ours || h == nil || int(k.part) >= len(h.call.Parts) || int(k.index) >= h.call.Parts[k.part].Own {
		j.found.add(ghost, "%s: nobody has sent event %s", j.where(r), r.id)
		return
	}
	c := h.call
	if c.Log != j.log || c.Tenant != j.tenant || c.Parts[k.part].Stream != r.stream || r.streamType != streamType || k.eventType() != r.eventType {
		j.found.add(misplaced, "%s: event %s belongs into stream %s of the %s log of %s", j.where(r), k, c.Parts[k.part].Stream, c.Log, c.Tenant)
		return
	}
	bit := uint64(1) << k.index
	if h.stored[k.part]&bit != 0 {
		j.found.add(doubled, "%s: event %s", j.where(r), k)
	}
	h.stored[k.part] |= bit
	j.inTurn(r, k, h)
	j.asAcknowledged(r, k, h)
}

// inTurn holds that a call's events lie together and in order, and that its expectations held before the first of them.
func (j *judge) inTurn(r row, k key, h *history) {
	if h.call.skips() { // in order only, which its revisions show
		j.endCall(r)
		return
	}
	if len(j.rest) > 0 && j.rest[0] == k {
		j.rest = j.rest[1:]
		return
	}
	j.endCall(r)
	var own []key
	for i := range h.call.Parts {
		own = append(own, h.call.ownKeys(i)...)
	}
	if own[0] != k {
		j.found.add(torn, "%s: event %s does not begin its call", j.where(r), k)
		return
	}
	j.rest = own[1:]
	for _, p := range h.call.Parts {
		if at := j.revisions[p.Stream]; !p.Expect.expectation().Admits(at) {
			j.found.add(disbelief, "%s: call %s expected %s of stream %s, which was at %d", j.where(r), k.call, p.Expect.expectation(), p.Stream, at)
		}
	}
}

func (j *judge) endCall(r row) {
	if len(j.rest) > 0 {
		j.found.add(torn, "%s: event %s should stand there", j.where(r), j.rest[0])
	}
	j.rest = nil
}

// asAcknowledged compares the last event of a stream in a call with the answer.
func (j *judge) asAcknowledged(r row, k key, h *history) {
	if h.answer == nil || !h.answer.Taken {
		return
	}
	at := h.answer.Parts[k.part]
	if at.Last == nil || *at.Last != k {
		return
	}
	if at.Position != r.position || at.Revision != r.revision || !at.Recorded.Equal(r.recorded) {
		j.found.add(misplaced, "%s, recorded at %s: event %s was acknowledged at position %d, revision %d, recorded at %s",
			j.where(r), r.recorded, k, at.Position, at.Revision, at.Recorded)
	}
}

// readLogs judges every tenant's log, page by page, and answers with the shelves by log and tenant.
func readLogs(ctx context.Context, admin *pgxpool.Pool, b *book, found *findings) (map[eventstore.Log]map[string]*shelf, error) {
	shelves := make(map[eventstore.Log]map[string]*shelf)
	for _, log := range []eventstore.Log{eventstore.Lifecycle, eventstore.Inference} {
		shelves[log] = make(map[string]*shelf)
		names, err := tenantsOf(ctx, admin, log)
		if err != nil {
			return nil, err
		}
		for _, tenant := range names {
			j := newJudge(b, log, tenant, found)
			if err := eachRow(ctx, admin, log, tenant, j.see); err != nil {
				return nil, err
			}
			j.endCall(row{position: j.position + 1})
			shelves[log][tenant] = j.shelf
		}
	}
	return shelves, nil
}

func tenantsOf(ctx context.Context, admin *pgxpool.Pool, log eventstore.Log) ([]string, error) {
	rows, err := admin.Query(ctx, `select tenant_id from `+string(log)+`.heads order by 1`)
	if err != nil {
		return nil, fmt.Errorf("read the tenants of the %s log: %w", log, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// eachRow reads a tenant's log in the order of its positions.
func eachRow(ctx context.Context, admin *pgxpool.Pool, log eventstore.Log, tenant string, see func(row)) error {
	query := `select position, event_id, event_type, aggregate_type, aggregate_id, aggregate_version, recorded_at
		from ` + string(log) + `.events where tenant_id = $1 and position > $2 order by position, event_id limit 20000`
	for after := int64(-1); ; {
		rows, err := admin.Query(ctx, query, tenant, after)
		if err != nil {
			return fmt.Errorf("read the %s log of %s: %w", log, tenant, err)
		}
		var r row
		n := 0
		_, err = pgx.ForEachRow(rows, []any{&r.position, &r.id, &r.eventType, &r.streamType, &r.stream, &r.revision, &r.recorded},
			func() error { see(r); after = r.position; n++; return nil })
		if err != nil {
			return fmt.Errorf("read the %s log of %s: %w", log, tenant, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// outcomes count calls and events by what became of them.
type outcomes struct {
	Calls        int `json:"calls"`
	Acknowledged int `json:"events_acknowledged"`
	Stored       int `json:"events_stored"`
	Refused      int `json:"calls_refused"`
	Unsure       int `json:"calls_refused_after_an_attempt_without_answer"`
	Unknown      int `json:"calls_never_answered"`
}

// settleCalls holds each call against what was found of it.
func (b *book) settleCalls(found *findings) outcomes {
	var o outcomes
	for _, id := range slices.Sorted(maps.Keys(b.calls)) {
		o.Calls++
		b.calls[id].settle(found, &o)
	}
	for _, wrong := range b.wrong {
		found.add(answers, "%s", wrong)
	}
	return o
}

func (h *history) settle(found *findings, o *outcomes) {
	own, stored := 0, 0
	for i, p := range h.call.Parts {
		own += p.Own
		for n := range p.Own {
			stored += int(h.stored[i] >> n & 1)
		}
	}
	o.Stored += stored
	switch {
	case h.answer != nil && h.answer.Taken:
		o.Acknowledged += own
		if stored < own {
			found.addN(lost, own-stored, "call %s: %d of %d events are there", h.call.ID, stored, own)
		}
		return
	case h.answer != nil && !h.answer.Unsure:
		o.Refused++
		if stored > 0 {
			found.addN(ghost, stored, "call %s was refused, and %d of its events are there", h.call.ID, stored)
		}
		return
	case h.answer != nil:
		o.Unsure++
	default:
		o.Unknown++
	}
	if stored != 0 && stored != own && !h.call.skips() { // others send the events of those that skip
		found.add(torn, "call %s: %d of %d events are there", h.call.ID, stored, own)
	}
}
