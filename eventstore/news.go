package eventstore

import (
	"encoding/json"
	"maps"
	"sync"
	"time"
)

// News tells one follower which tenants have news: those whose last position grew since it took the last ones. It is
// safe for concurrent use.
type News struct {
	mu     sync.Mutex
	fresh  map[string]int64
	shared bool // fresh is other followers' too, and not written to
	ring   chan struct{}
	leave  func() // may be nil
}

func newNews(fresh map[string]int64) *News {
	n := &News{ring: make(chan struct{}, 1)}
	if len(fresh) > 0 {
		n.put(fresh)
	}
	return n
}

// C rings after news; several that were not taken ring once. It is never closed.
func (n *News) C() <-chan struct{} { return n.ring }

// Take hands out the last position of each tenant with news, to read, and begins anew. The first one holds every tenant
// that the tail knows.
func (n *News) Take() map[string]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.fresh
	n.fresh, n.shared = nil, false
	return taken
}

// Close ends the news; again does nothing.
func (n *News) Close() {
	if n.leave != nil {
		n.leave()
	}
}

// put adds news, which nobody writes to any more. Who keeps up takes them as they are.
func (n *News) put(news map[string]int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fresh == nil {
		n.fresh, n.shared = news, true
	} else {
		if n.shared {
			n.fresh, n.shared = maps.Clone(n.fresh), false
		}
		for tenant, position := range news {
			n.fresh[tenant] = max(n.fresh[tenant], position)
		}
	}
	select {
	case n.ring <- struct{}{}:
	default:
	}
}

// gathered are news that wait for each other, so that who is told is not told of each by itself: the first are told at
// once, the next when the gap is over. The zero value with a gap and somebody to tell is ready.
type gathered struct {
	gap  time.Duration
	tell func(map[string]int64) // of one batch at a time

	mu    sync.Mutex
	fresh map[string]int64
	told  time.Time
	due   bool // they are told when the gap is over
}

func (g *gathered) add(tenant string, position int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fresh == nil {
		g.fresh = make(map[string]int64)
	}
	g.fresh[tenant] = max(g.fresh[tenant], position)
	if g.due {
		return
	}
	if rest := g.gap - time.Since(g.told); rest > 0 {
		g.due = true
		time.AfterFunc(rest, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.flush()
		})
		return
	}
	g.flush()
}

func (g *gathered) flush() {
	fresh := g.fresh
	g.fresh, g.told, g.due = nil, time.Now(), false
	g.tell(fresh)
}

// ringGap is the least time between two rings of a tail's followers.
const ringGap = 5 * time.Millisecond

// known is what a process knows of a log: the last position of each tenant. It only grows.
type known struct {
	news gathered // on their way to the followers

	mu        sync.Mutex
	last      map[string]int64
	followers map[*News]struct{}
}

func newKnown() *known {
	k := &known{last: make(map[string]int64), followers: make(map[*News]struct{})}
	k.news.gap, k.news.tell = ringGap, k.tell
	return k
}

// learn has the followers told, if it is news.
func (k *known) learn(tenant string, position int64) (news bool) {
	k.mu.Lock()
	news = position > k.last[tenant]
	if news {
		k.last[tenant] = position
	}
	k.mu.Unlock()
	if news {
		k.news.add(tenant, position)
	}
	return news
}

func (k *known) tell(news map[string]int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for follower := range k.followers {
		follower.put(news)
	}
}

func (k *known) follow() *News {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := newNews(maps.Clone(k.last))
	n.leave = func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.followers, n)
	}
	k.followers[n] = struct{}{}
	return n
}

// announcer hands a store's own appends to the tails that run on it. The zero value is ready.
type announcer struct {
	mu    sync.RWMutex
	tails map[*Tail]struct{}
}

// send tells that a tenant's log goes up to a position now, and with which events, if they are known. It is called after
// the commit, and waits for nobody.
func (a *announcer) send(tenant string, position int64, events func() []Event) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var added []Event
	if len(a.tails) > 0 {
		added = events()
	}
	for tail := range a.tails {
		tail.recent.put(added) // first, so that who hears the news finds them
		tail.known.learn(tenant, position)
		tail.untold.add(tenant, position)
	}
}

func (a *announcer) join(t *Tail) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tails == nil {
		a.tails = make(map[*Tail]struct{})
	}
	a.tails[t] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.tails, t)
	}
}

// payloadMost is what PostgreSQL takes, in bytes: less than 8,000.
const payloadMost = 7_999

// payload tells other processes who has news. Nothing, when that does not fit: then they look themselves.
func payload(fresh map[string]int64) string {
	text, err := json.Marshal(fresh)
	if err != nil || len(text) > payloadMost {
		return ""
	}
	return string(text)
}

// readPayload answers false for what does not tell who has news.
func readPayload(text string) (fresh map[string]int64, tells bool) {
	err := json.Unmarshal([]byte(text), &fresh)
	return fresh, err == nil && len(fresh) > 0
}
