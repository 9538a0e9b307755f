package oracle

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// proxy passes connections on to PostgreSQL, and cuts them.
type proxy struct {
	target   string // host:port
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
}

// pair is one connection: to the client and to the server.
type pair struct{ client, server net.Conn }

func (p *pair) cut() {
	_ = p.client.Close()
	_ = p.server.Close()
}

func newProxy(ctx context.Context, target string) (*proxy, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &proxy{target: target, listener: listener, pairs: make(map[*pair]struct{})}
	p.all.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	var dial net.Dialer
	server, err := dial.DialContext(context.Background(), "tcp4", p.target)
	if err != nil {
		_ = client.Close() // the server is being restarted
		return
	}
	link := &pair{client, server}
	if !p.add(link) {
		link.cut()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); link.cut() })
	both.Go(func() { _, _ = io.Copy(client, server); link.cut() })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, link)
	p.mu.Unlock()
}

func (p *proxy) add(link *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.pairs[link] = struct{}{}
	}
	return !p.closed
}

// cut ends each connection with the given chance, wherever in its conversation it is, and tells how many.
func (p *proxy) cut(chance float64) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for link := range p.pairs {
		if rand.Float64() < chance {
			link.cut()
			n++
		}
	}
	return n
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cut(1.1)
	p.all.Wait()
}
