package oracle

import (
	"context"
	"slices"
	"sync"

	"phantom/eventstore"
)

// Follower is one way to read a log from its beginning to its end and on.
type Follower struct {
	Name  string
	Log   eventstore.Log
	Types []string // that it is to deliver; all when there are none
	// Run delivers until the context ends, or until an error: then it is called again, as a process that starts anew, and
	// goes on at the cursors of its Deliveries.
	Run func(ctx context.Context, reader *Reader, to *Deliveries) error
}

// Deliveries notes what a follower delivers. It is safe for concurrent use.
type Deliveries struct {
	log   eventstore.Log
	types []string

	mu      sync.Mutex
	tenants map[string]*delivered
}

// delivered is what was delivered of one tenant.
type delivered struct {
	through    int64    // the cursor
	last       int64    // position of the last event
	seen       []uint64 // a bit a position
	sum        uint64   // of all events, regardless of their order
	doubled    int
	outOfOrder int
}

func newDeliveries(log eventstore.Log, types []string) *Deliveries {
	return &Deliveries{log: log, types: types, tenants: make(map[string]*delivered)}
}

// Types are the types to deliver; all when there are none.
func (d *Deliveries) Types() []string { return d.types }

// Log is the log to follow.
func (d *Deliveries) Log() eventstore.Log { return d.log }

// Cursor is where the follower goes on in a tenant's log.
func (d *Deliveries) Cursor(tenant string) eventstore.Cursor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return eventstore.Cursor{Tenant: tenant, After: d.of(tenant).through}
}

// Deliver takes one event, whose position is the cursor from now on.
func (d *Deliveries) Deliver(e eventstore.Event) {
	d.note(e.TenantID, e.Position, [16]byte(e.EventID))
}

// Through moves the cursor over positions at which there is nothing of the types.
func (d *Deliveries) Through(tenant string, position int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.of(tenant)
	t.through = max(t.through, position)
}

func (d *Deliveries) note(tenant string, position int64, id [16]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.of(tenant)
	word, bit := position/64, uint64(1)<<(position%64)
	for int64(len(t.seen)) <= word {
		t.seen = append(t.seen, 0)
	}
	switch {
	case t.seen[word]&bit != 0:
		t.doubled++
	case position < t.last:
		t.outOfOrder++
	}
	if t.seen[word]&bit == 0 {
		t.sum += checksum(position, id)
	}
	t.seen[word] |= bit
	t.last = max(t.last, position)
	t.through = max(t.through, position)
}

func (d *Deliveries) of(tenant string) *delivered {
	t := d.tenants[tenant]
	if t == nil {
		t = &delivered{}
		d.tenants[tenant] = t
	}
	return t
}

// checksum of one event at its place; sums of them differ when an event stood elsewhere.
func checksum(position int64, id [16]byte) uint64 {
	sum := uint64(position) * 0x9e3779b97f4a7c15
	for _, b := range id {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return sum
}

// FollowerReport is what became of a follower's deliveries.
type FollowerReport struct {
	Name       string `json:"name"`
	Delivered  int    `json:"delivered"`
	Lost       int    `json:"lost"`         // of its types in the log, never delivered
	Doubled    int    `json:"doubled"`      // delivered once more
	OutOfOrder int    `json:"out_of_order"` // delivered after a later one
	Wrong      int    `json:"wrong"`        // tenants of whom something was delivered that does not stand there
	Restarts   int    `json:"restarts"`     // it went on at its cursors so often
}

// compare holds the deliveries against the log.
func (d *Deliveries) compare(log map[string]*shelf) FollowerReport {
	d.mu.Lock()
	defer d.mu.Unlock()
	var r FollowerReport
	for tenant, there := range log {
		t := d.of(tenant)
		var sum uint64
		for i, entry := range there.events {
			position := int64(i) + there.first
			if len(d.types) > 0 && !slices.Contains(d.types, there.types[entry.kind]) {
				continue
			}
			sum += entry.sum
			if word := position / 64; int64(len(t.seen)) <= word || t.seen[word]&(1<<(position%64)) == 0 {
				r.Lost++
				sum -= entry.sum
				continue
			}
			r.Delivered++
		}
		if sum != t.sum {
			r.Wrong++
		}
		r.Doubled += t.doubled
		r.OutOfOrder += t.outOfOrder
	}
	for tenant := range d.tenants {
		if log[tenant] == nil && d.tenants[tenant].last > 0 {
			r.Wrong++
		}
	}
	return r
}
