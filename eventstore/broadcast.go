package eventstore

import "sync"

// broadcast wakes everyone who listens. A wake-up that finds another one waiting is merged with it, so a send never
// waits. The zero value is ready.
type broadcast struct {
	mu        sync.Mutex
	listeners map[chan struct{}]struct{}
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for listener := range b.listeners {
		select {
		case listener <- struct{}{}:
		default:
		}
	}
}

// listen adds a listener; stop takes it away and does not close its channel.
func (b *broadcast) listen() (heard <-chan struct{}, stop func()) {
	listener := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = make(map[chan struct{}]struct{})
	}
	b.listeners[listener] = struct{}{}
	return listener, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, listener)
	}
}
