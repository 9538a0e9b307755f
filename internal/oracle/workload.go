package oracle

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"phantom/eventstore"
)

const (
	tenants        = 10
	sharedStreams  = 16 // of each tenant and log, written by everybody
	skipStreams    = 4  // of each tenant and log, written with SkipStored only
	mostEvents     = 20 // of one stream in a call
	mostStreams    = 4
	hotShare       = 3  // of ten calls, so many go to the first tenant
	inferenceShare = 3  // of ten calls, so many go to the inference log
	remembered     = 64 // calls that a worker may come back to
)

func tenantName(i int) string { return "tenant-" + strconv.Itoa(i) }

// place is one stream of one tenant's log.
type streamPlace struct {
	log    eventstore.Log
	tenant string
	stream string
}

// revisions are the streams' last known revisions, shared by the workers of a process. Another process writes the same
// streams, so an Exact that is drawn from them may be behind.
type revisions struct {
	mu    sync.Mutex
	known map[streamPlace]int64
}

func (r *revisions) of(p streamPlace) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[p]
}

func (r *revisions) saw(p streamPlace, revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[p] = max(r.known[p], revision)
}

// taken is a call that was acknowledged, with what was acknowledged.
type taken struct {
	call call
	done []eventstore.Appended
}

// worker draws calls, one after the other.
type worker struct {
	process, life, number int
	rng                   *rand.Rand
	known                 *revisions
	calls                 uint32
	past                  []taken
}

// draft is what the kinds of calls begin with.
func (w *worker) draft() call {
	w.calls++
	tenant := 0
	if w.rng.IntN(10) >= hotShare {
		tenant = w.rng.IntN(tenants)
	}
	c := call{ID: newCallID(w.process, w.life, w.number, w.calls), Log: eventstore.Lifecycle, Tenant: tenantName(tenant)}
	if w.rng.IntN(10) < inferenceShare {
		c.Log = eventstore.Inference
	}
	if w.rng.IntN(8) == 0 {
		c.Command = "of-" + c.ID.String()
	}
	return c
}

func (w *worker) events() int    { return 1 + w.rng.IntN(mostEvents) }
func (w *worker) shared() string { return "shared-" + strconv.Itoa(w.rng.IntN(sharedStreams)) }

// believe draws an expectation of a shared stream: mostly one that held a moment ago.
func (w *worker) believe(c call, stream string) belief {
	known := w.known.of(streamPlace{c.Log, c.Tenant, stream})
	switch n := w.rng.IntN(20); {
	case n < 8:
		return anyRevision()
	case n < 16:
		return exact(known)
	case n < 18:
		return exists()
	case n < 19:
		return noStream()
	default:
		return exact(known + int64(w.rng.IntN(100)))
	}
}

// next draws a call.
func (w *worker) next() call {
	c := w.draft()
	switch n := w.rng.IntN(100); {
	case n < 48:
		return w.one(c)
	case n < 56:
		return w.fresh(c)
	case n < 74:
		return w.many(c)
	case n < 86:
		return w.skipping(c)
	case n < 89:
		return w.onlyCommand(c)
	case n < 92:
		return w.onlyGuards(c)
	case n < 94:
		return w.partOfOld(c)
	case n < 97:
		return w.elsewhere(c)
	default:
		return w.knownCommand(c)
	}
}

func (w *worker) one(c call) call {
	stream := w.shared()
	c.Parts = []part{{Stream: stream, Expect: w.believe(c, stream), Own: w.events()}}
	return c
}

// fresh begins a stream.
func (w *worker) fresh(c call) call {
	c.Parts = []part{{Stream: "fresh-" + c.ID.String(), Expect: noStream(), Own: w.events()}}
	return c
}

// many appends to several streams, of which some may be guards.
func (w *worker) many(c call) call {
	n := 2 + w.rng.IntN(mostStreams-1)
	first := w.rng.IntN(sharedStreams)
	for i := range n {
		stream := "shared-" + strconv.Itoa((first+i)%sharedStreams)
		p := part{Stream: stream, Expect: w.believe(c, stream), Own: w.events()}
		if i > 0 && w.rng.IntN(3) == 0 {
			p.Own = 0
		}
		c.Parts = append(c.Parts, p)
	}
	return c
}

// skipping sends events of an earlier call again, before its own.
func (w *worker) skipping(c call) call {
	p := part{Stream: "skip-" + strconv.Itoa(w.rng.IntN(skipStreams)), Expect: anyRevision(), Own: w.events(), Skip: true}
	for _, old := range w.past {
		if old.call.skips() && old.call.Log == c.Log && old.call.Tenant == c.Tenant && w.rng.IntN(2) == 0 {
			p.Stream = old.call.Parts[0].Stream
			p.Borrowed = old.call.ownKeys(0)
			break
		}
	}
	c.Parts, c.Command = []part{p}, ""
	return c
}

// ownKeys are the events of a part that are of no other call.
func (c call) ownKeys(i int) []key { return c.keys(i)[len(c.Parts[i].Borrowed):] }

func (*worker) onlyCommand(c call) call {
	c.Command = "of-" + c.ID.String()
	return c
}

func (w *worker) onlyGuards(c call) call {
	stream := w.shared()
	c.Parts = []part{{Stream: stream, Expect: w.believe(c, stream)}}
	return c
}

// appended finds a call of the past with events, which did not skip.
func (w *worker) appended(fits func(call) bool) (call, bool) {
	for range 8 {
		if len(w.past) == 0 {
			break
		}
		old := w.past[w.rng.IntN(len(w.past))].call
		if len(old.Parts) > 0 && old.Parts[0].Own > 0 && !old.skips() && fits(old) {
			return old, true
		}
	}
	return call{}, false
}

// partOfOld repeats a call and adds to it.
func (w *worker) partOfOld(c call) call {
	old, ok := w.appended(func(call) bool { return true })
	if !ok {
		return w.one(c)
	}
	c.Log, c.Tenant, c.Command, c.Refused = old.Log, old.Tenant, "", "some of its events stand there"
	c.Parts = []part{{Stream: old.Parts[0].Stream, Expect: anyRevision(), Borrowed: old.ownKeys(0), Own: 1 + w.rng.IntN(3)}}
	return c
}

// elsewhere sends an event of one stream to another.
func (w *worker) elsewhere(c call) call {
	old, ok := w.appended(func(call) bool { return true })
	if !ok {
		return w.one(c)
	}
	c.Log, c.Tenant, c.Command, c.Refused = old.Log, old.Tenant, "", "an event stands in another stream"
	c.Parts = []part{{Stream: "fresh-" + c.ID.String(), Expect: noStream(), Borrowed: old.ownKeys(0)[:1], Own: 1 + w.rng.IntN(3)}}
	return c
}

// knownCommand asks for something else under a command's id that is taken, in either log.
func (w *worker) knownCommand(c call) call {
	old, ok := w.appended(func(old call) bool { return old.Command != "" })
	if !ok {
		return w.one(c)
	}
	c.Tenant, c.Command, c.Refused = old.Tenant, old.Command, "its command is known"
	stream := w.shared()
	c.Parts = []part{{Stream: stream, Expect: anyRevision(), Own: w.events()}}
	return c
}

// remember keeps a call for those that come back to it, and what it tells of its streams.
func (w *worker) remember(c call, done []eventstore.Appended) {
	for i, p := range c.Parts {
		w.known.saw(streamPlace{c.Log, c.Tenant, p.Stream}, done[i].Revision)
	}
	t := taken{c, done}
	if len(w.past) < remembered {
		w.past = append(w.past, t)
		return
	}
	w.past[w.rng.IntN(remembered)] = t
}

// differs says how an answer to a repeated call differs from the first one; empty when it does not.
func (t taken) differs(again []eventstore.Appended) string {
	for i, p := range t.call.Parts {
		first, second := t.done[i], again[i]
		events := len(t.call.keys(i))
		switch {
		case events == 0: // a guard tells of the stream as it is now
		case p.Skip && len(second.Skipped) != events:
			return fmt.Sprintf("part %d skipped %d of %d events", i, len(second.Skipped), events)
		case !second.Repeated:
			return fmt.Sprintf("part %d is not told as repeated", i)
		case !p.Skip && (first.Revision != second.Revision || first.Position != second.Position || !first.RecordedAt.Equal(second.RecordedAt)):
			return fmt.Sprintf("part %d: first %d at %d, then %d at %d", i, first.Revision, first.Position, second.Revision, second.Position)
		}
	}
	return ""
}
