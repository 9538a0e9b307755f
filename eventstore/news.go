package eventstore

import (
	"encoding/json"
	"maps"
	"sync"
)

// News tells one follower which tenants have news: those whose last position grew since it took the last ones. It is
// safe for concurrent use.
type News struct {
	mu    sync.Mutex
	fresh map[string]int64
	ring  chan struct{}
	leave func() // may be nil
}

func newNews(fresh map[string]int64) *News {
	n := &News{fresh: fresh, ring: make(chan struct{}, 1)}
	if len(fresh) > 0 {
		n.ring <- struct{}{}
	}
	return n
}

// C rings after news; several that were not taken ring once. It is never closed.
func (n *News) C() <-chan struct{} { return n.ring }

// Take hands out the last position of each tenant with news, and begins anew. The first one holds every tenant that the
// tail knows.
func (n *News) Take() map[string]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.fresh
	n.fresh = nil
	return taken
}

// Close ends the news; again does nothing.
func (n *News) Close() {
	if n.leave != nil {
		n.leave()
	}
}

func (n *News) put(tenant string, position int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fresh == nil {
		n.fresh = make(map[string]int64)
	}
	n.fresh[tenant] = max(n.fresh[tenant], position)
	select {
	case n.ring <- struct{}{}:
	default:
	}
}

// known is what a process knows of a log: the last position of each tenant. It only grows. The zero value is ready.
type known struct {
	mu        sync.Mutex
	last      map[string]int64
	followers map[*News]struct{}
}

// learn tells the followers, if it is news.
func (k *known) learn(tenant string, position int64) (news bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if position <= k.last[tenant] {
		return false
	}
	if k.last == nil {
		k.last = make(map[string]int64)
	}
	k.last[tenant] = position
	for follower := range k.followers {
		follower.put(tenant, position)
	}
	return true
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
	if k.followers == nil {
		k.followers = make(map[*News]struct{})
	}
	k.followers[n] = struct{}{}
	return n
}

// announcer hands a store's own appends to the tails that run on it. The zero value is ready.
type announcer struct {
	mu    sync.RWMutex
	tails map[*Tail]struct{}
}

// send tells that a tenant's log goes up to a position now. It is called after the commit, and waits for nobody.
func (a *announcer) send(tenant string, position int64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for tail := range a.tails {
		tail.known.learn(tenant, position)
		tail.untold.put(tenant, position)
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
