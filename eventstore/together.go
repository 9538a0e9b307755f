package eventstore

import "github.com/google/uuid"

// load is what travels together, as far as it is bounded.
type load struct{ calls, events, bytes int }

func (l *load) holds(c *call) bool {
	return l.calls < mostCalls && l.events+len(c.events.ids) <= mostEvents && l.bytes+c.events.bytes <= mostBytes
}

func (l *load) add(c *call) {
	l.calls++
	l.events += len(c.events.ids)
	l.bytes += c.events.bytes
}

// footprint is what calls of one tenant must not meet on when they travel together: what one writes, another one's
// expectations and repetitions are about.
type footprint struct {
	streams  map[Stream]struct{}
	commands map[string]struct{}
	events   map[uuid.UUID]struct{}
}

func newFootprint() *footprint {
	return &footprint{map[Stream]struct{}{}, map[string]struct{}{}, map[uuid.UUID]struct{}{}}
}

// add adds a call that combines, unless it meets one that was added.
func (f *footprint) add(c *call) bool {
	a := c.appends[0]
	if _, met := f.streams[a.Stream]; met {
		return false
	}
	if c.cmd != nil {
		if _, met := f.commands[c.cmd.ID]; met {
			return false
		}
	}
	for _, e := range a.Events {
		if _, met := f.events[e.ID]; met {
			return false
		}
	}
	f.streams[a.Stream] = struct{}{}
	if c.cmd != nil {
		f.commands[c.cmd.ID] = struct{}{}
	}
	for _, e := range a.Events {
		f.events[e.ID] = struct{}{}
	}
	return true
}

// fill takes further calls of the lines, in turn, until there is no room or each line's next one has to wait.
func fill(lines []*line, prints []*footprint, calls []*call, all load) []*call {
	for more := true; more; {
		more = false
		for i, l := range lines {
			if len(l.calls) == 0 || !l.calls[0].combines() {
				continue
			}
			if !all.holds(l.calls[0]) {
				return calls
			}
			if prints[i].add(l.calls[0]) {
				all.add(l.calls[0])
				calls = append(calls, l.next())
				more = true
			}
		}
	}
	return calls
}
