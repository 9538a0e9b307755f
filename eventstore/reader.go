package eventstore

import (
	"context"
	"time"
)

// How followers share what they read.
const (
	// nearMost is how far behind its tenant's last position a follower reads together with others.
	nearMost = 500
	// sharedMost is how many events they read at once, about.
	sharedMost = 5_000
	// sharedWait is how long a follower waits for the one that reads: that one may have no connection.
	sharedWait = time.Second
)

// Reader reads logs for the followers of a process. Near the end of a log that has a tail they share what one of them
// reads, and events that the process appended itself come from its memory: a follower more costs the database next to
// nothing. Far from the end each reads what it asks for. It is safe for concurrent use, and so are the events: nobody may
// change them.
type Reader struct {
	store *Store
	tails map[Log]*Tail
}

// NewReader makes a reader. Logs without a tail are read from the store alone; a tail that does not run remembers nothing.
func NewReader(store *Store, tails ...*Tail) *Reader {
	r := &Reader{store: store, tails: make(map[Log]*Tail, len(tails))}
	for _, tail := range tails {
		r.tails[tail.log] = tail
	}
	return r
}

// Heads is Store.Heads.
func (r *Reader) Heads(ctx context.Context, log Log) (map[string]int64, error) {
	return r.store.Heads(ctx, log)
}

// ReadAt is Store.ReadAt.
func (r *Reader) ReadAt(ctx context.Context, tenant string, log Log, positions []int64) ([]Event, error) {
	return r.store.ReadAt(ctx, tenant, log, positions)
}

// ReadAfter is Store.ReadAfter. Pages come in any order, and may be shorter than they could be.
func (r *Reader) ReadAfter(ctx context.Context, log Log, cursors []Cursor, types []string, limit int) ([]Page, error) {
	tail := r.tails[log]
	if tail == nil || limit < 1 {
		return r.store.ReadAfter(ctx, log, cursors, types, limit)
	}
	pages, left := tail.recent.read(cursors, types, limit)
	near, far := tail.near(left)
	if len(near) > 0 {
		shared, alone, err := r.share(ctx, tail, near, types, limit)
		if err != nil {
			return nil, err
		}
		pages, far = append(pages, shared...), append(far, alone...)
	}
	if len(far) == 0 {
		return pages, nil
	}
	more, err := r.store.ReadAfter(ctx, log, far, types, limit)
	return append(pages, more...), err
}

// share reads all types for whoever follows, one at a time: who waited finds what the one before has read. It answers
// also with those whose next event is not what was appended: one of another type may be nothing to this follower; and with
// all when it has waited too long.
func (r *Reader) share(ctx context.Context, t *Tail, near []Cursor, types []string, limit int) (pages []Page, alone []Cursor, err error) {
	patience := time.NewTimer(sharedWait)
	defer patience.Stop()
	select {
	case t.reading <- struct{}{}:
		defer func() { <-t.reading }()
	case <-patience.C:
		return nil, near, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	pages, near = t.recent.read(near, types, limit)
	read, err := r.store.ReadAfter(ctx, t.log, near, nil, nearMost)
	if err != nil {
		return nil, nil, err
	}
	after := make(map[string]int64, len(near))
	for _, c := range near {
		after[c.Tenant] = c.After
	}
	for _, p := range read {
		if p.Err != nil {
			alone = append(alone, Cursor{Tenant: p.Tenant, After: after[p.Tenant]})
			continue
		}
		t.recent.put(p.Events)
		pages = append(pages, pageOf(p.Tenant, p.Events, types, limit))
	}
	return pages, alone, nil
}

// near tells those apart who are so near to the end that others may want the same.
func (t *Tail) near(cursors []Cursor) (near, far []Cursor) {
	t.known.mu.Lock()
	defer t.known.mu.Unlock()
	events := int64(0)
	for _, c := range cursors {
		last, heard := t.known.last[c.Tenant]
		n := last - c.After
		if !heard || n > nearMost || events+n > sharedMost {
			far = append(far, c)
			continue
		}
		events += max(n, 0)
		near = append(near, c)
	}
	return near, far
}
