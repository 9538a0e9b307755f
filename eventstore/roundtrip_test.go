package eventstore_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// turns counts round trips: what is sent after something was received begins a new one.
type turns struct {
	net.Conn

	mu       sync.Mutex
	answered bool
	count    int
}

func (c *turns) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.answered {
		c.count++
		c.answered = false
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *turns) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.answered = c.answered || n > 0
	c.mu.Unlock()
	return n, err
}

func (c *turns) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.count
	c.count = 0
	return n
}

// TestOneRoundTrip: once its statement is prepared, each call asks the server once, however many events it carries.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	var conn *turns
	pool := pgtest.Tuned(t, pgtest.New(t).ServingURL, func(settings *pgxpool.Config) {
		settings.MaxConns = 1
		// Else a connection that was idle for a second is asked first whether it still lives.
		settings.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		settings.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			inner, err := (&net.Dialer{}).DialContext(ctx, network, address)
			conn = &turns{Conn: inner}
			return conn, err
		}
	})
	store := eventstore.New(pool)

	command := 0
	appendTo := func(n int, streams ...string) func() error {
		return func() error {
			var appends []eventstore.Append
			for _, s := range streams {
				appends = append(appends, eventstore.Append{Stream: stream(s), Events: eventstoretest.Batch(n)})
			}
			command++
			record := &eventstore.CommandRecord{ID: string(rune('a' + command)), RequestHash: []byte("hash")}
			_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle, appends, record)
			return err
		}
	}
	require.NoError(t, appendTo(3, "a")())
	require.NoError(t, store.SaveSnapshot(t.Context(), "acme", eventstore.Lifecycle, eventstore.Snapshot{
		Stream: stream("a"), Fingerprint: "x", Revision: 3, Position: 3, State: []byte(`{}`),
	}, eventstore.Keep{Newest: 1, Every: 1}))
	calls := map[string]func() error{
		"append 1 event":    appendTo(1, "a"),
		"append 200 events": appendTo(200, "a"),
		"append to several": appendTo(20, "a", "b", "c"),
		"guard":             appendTo(0, "a"),
		"head":              func() error { _, err := store.Head(t.Context(), "acme", eventstore.Lifecycle); return err },
		"load": func() error {
			_, err := store.Load(t.Context(), "acme", eventstore.Lifecycle, stream("a"), eventstore.Range{})
			return err
		},
		"fetch streams, a command": func() error {
			_, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(stream("a"), stream("b")), "c")
			return err
		},
		"fetch from a snapshot": func() error {
			fetched, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Want{
				{Stream: stream("a"), Fingerprint: "x"}, {Stream: stream("b"), Fingerprint: "x"},
			}, "c")
			require.NotNil(t, fetched[0].Snapshot)
			return err
		},
		"position at": func() error {
			_, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, time.Now().Add(-time.Second))
			return err
		},
		"position now": func() error { // under the lock
			_, err := store.PositionAt(t.Context(), "acme", eventstore.Lifecycle, time.Now())
			return err
		},
		"load at": func() error {
			_, _, err := store.LoadAt(t.Context(), "acme", eventstore.Lifecycle, stream("a"), eventstore.Range{}, time.Now())
			return err
		},
		"occurred": func() error {
			_, err := store.LoadOccurred(t.Context(), "acme", eventstore.Lifecycle, eventstore.Occurred{Types: []string{"Happened"}, Limit: 9})
			return err
		},
		"trace": func() error {
			_, err := store.Trace(t.Context(), "acme", "saga", eventstore.TrailPlace{})
			return err
		},
		"read after": func() error {
			_, err := store.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}, {Tenant: "x"}}, nil, 50)
			return err
		},
	}
	for name, call := range calls {
		require.NoError(t, call(), name) // prepares
		conn.taken()
		require.NoError(t, call(), name)
		require.Equal(t, 1, conn.taken(), name)
	}
}
