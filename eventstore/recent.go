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
	held  map[string]weight  // by tenant: what the array of its run keeps from being freed
	queue []kept             // the oldest first
	bytes int
}

// weight counts bytes: of a run, and of what it has lost and readers may still have.
type weight struct{ run, lost int }

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
	events = events[:dense(events)]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs, r.held = make(map[string][]Event), make(map[string]weight)
	}
	tenant, first, through := events[0].TenantID, events[0].Position, events[len(events)-1].Position
	run, before := r.runs[tenant], r.held[tenant]
	switch {
	case len(run) == 0 || first > run[len(run)-1].Position+1:
		r.runs[tenant] = slices.Clone(events) // not in the array of others that were read with them
		before = weight{}
	case through > run[len(run)-1].Position:
		events = events[behind(events, run[len(run)-1].Position):]
		r.runs[tenant] = append(run, events...)
	case first < run[0].Position && through >= run[0].Position-1:
		events = events[:behind(events, run[0].Position-1)]
		r.runs[tenant] = slices.Concat(events, run)
		before.lost = 0
	default:
		return
	}
	bytes := bytesOf(events)
	r.held[tenant] = weight{before.run + bytes, before.lost}
	r.queue = append(r.queue, kept{tenant, through, bytes})
	for r.bytes += bytes; r.bytes > recentMost; {
		r.forget()
	}
}

// dense is how many of the events follow one another without a gap. Whatever comes here, no reader is led over one: what is
// not remembered is read from the log.
func dense(events []Event) int {
	for i := 1; i < len(events); i++ {
		if events[i].Position != events[i-1].Position+1 {
			return i
		}
	}
	return len(events)
}

func bytesOf(events []Event) (n int) {
	for _, e := range events {
		n += len(e.EventData) + len(e.Metadata) + eventOverhead
	}
	return n
}

// forget drops the oldest put. A run that has lost more than it holds moves to an array of its own.
func (r *recent) forget() {
	oldest := r.queue[0]
	r.queue = r.queue[1:]
	r.bytes -= oldest.bytes
	run := r.runs[oldest.tenant]
	n := behind(run, oldest.through)
	if n == len(run) {
		delete(r.runs, oldest.tenant)
		delete(r.held, oldest.tenant)
		return
	}
	lost, now := bytesOf(run[:n]), r.held[oldest.tenant]
	now, run = weight{now.run - lost, now.lost + lost}, run[n:]
	if now.lost > now.run {
		now.lost, run = 0, slices.Clone(run)
	}
	r.runs[oldest.tenant], r.held[oldest.tenant] = run, now
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
