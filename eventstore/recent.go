package eventstore

import (
	"slices"
	"sync"
)

// recentMost is how much a tail remembers of its log, in bytes.
const recentMost = 16 << 20

// eventOverhead is about what an event takes in memory beside its data and metadata, in bytes.
const eventOverhead = 500

// recent remembers the events that a log has last got, so that the followers of a process read them once together and
// not once each, and those of its own appends not at all. Of each tenant it holds a run without gaps. When it is full the
// oldest leave, whosever they are. It holds nothing that was not committed. The zero value is ready.
type recent struct {
	mu    sync.RWMutex
	runs  map[string][]Event // by tenant; what a reader was given is not written to any more
	queue []kept             // the oldest first
	bytes int
}

// kept is one put: a tenant's events up to a position.
type kept struct {
	tenant  string
	through int64
	bytes   int
}

// put takes in committed events of one tenant, each at the position behind the one before. They lengthen the tenant's run
// at either end; behind a gap it begins anew, and what lies before a gap is passed over.
func (r *recent) put(events []Event) {
	if len(events) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[string][]Event)
	}
	tenant, first, through := events[0].TenantID, events[0].Position, events[len(events)-1].Position
	run := r.runs[tenant]
	switch {
	case len(run) == 0 || first > run[len(run)-1].Position+1:
		r.runs[tenant] = slices.Clip(events)
	case through > run[len(run)-1].Position:
		events = events[behind(events, run[len(run)-1].Position):]
		r.runs[tenant] = append(run, events...)
	case first < run[0].Position && through >= run[0].Position-1:
		events = events[:behind(events, run[0].Position-1)]
		r.runs[tenant] = slices.Concat(events, run)
	default:
		return
	}
	bytes := 0
	for _, e := range events {
		bytes += len(e.EventData) + len(e.Metadata) + eventOverhead
	}
	r.queue = append(r.queue, kept{tenant, through, bytes})
	for r.bytes += bytes; r.bytes > recentMost; {
		r.forget()
	}
}

// forget drops the oldest put.
func (r *recent) forget() {
	oldest := r.queue[0]
	r.queue = r.queue[1:]
	r.bytes -= oldest.bytes
	run := r.runs[oldest.tenant]
	if n := behind(run, oldest.through); n < len(run) {
		r.runs[oldest.tenant] = run[n:]
	} else {
		delete(r.runs, oldest.tenant)
	}
}

// read answers for the cursors whose next event is remembered, as ReadAfter would, and with the other cursors.
func (r *recent) read(cursors []Cursor, types []string, limit int) (pages []Page, others []Cursor) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, c := range cursors {
		run := r.runs[c.Tenant]
		if len(run) == 0 || c.After < run[0].Position-1 || c.After >= run[len(run)-1].Position {
			others = append(others, c)
			continue
		}
		pages = append(pages, pageOf(c.Tenant, run[behind(run, c.After):], types, limit))
	}
	return pages, others
}

// behind is how many events of a run are at or before a position.
func behind(run []Event, position int64) int {
	if len(run) == 0 {
		return 0
	}
	return int(min(max(position-run[0].Position+1, 0), int64(len(run))))
}

// pageOf is the page of events without gaps, of which those of the types are asked for: at most so many.
func pageOf(tenant string, run []Event, types []string, limit int) Page {
	if len(types) == 0 {
		n := min(limit, len(run))
		return Page{Tenant: tenant, Events: run[:n:n], Through: run[n-1].Position}
	}
	page := Page{Tenant: tenant}
	for _, e := range run {
		page.Through = e.Position
		if slices.Contains(types, e.EventType) {
			page.Events = append(page.Events, e)
			if len(page.Events) == limit {
				break
			}
		}
	}
	return page
}
