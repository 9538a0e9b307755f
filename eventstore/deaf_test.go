package eventstore_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// deaf is a connection through a pooler that swallows notifications, unless it lets them through.
type deaf struct {
	net.Conn

	hears     *atomic.Bool
	swallowed *atomic.Int64
	left      []byte // of a message that is being read
}

func (c *deaf) Read(b []byte) (int, error) {
	for len(c.left) == 0 {
		// A message is its type and its length, which counts itself; see the protocol's "Message Formats".
		header := make([]byte, 5)
		if _, err := io.ReadFull(c.Conn, header); err != nil {
			return 0, err
		}
		rest := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(c.Conn, rest); err != nil {
			return 0, err
		}
		const notificationResponse = 'A'
		if header[0] == notificationResponse && !c.hears.Load() {
			c.swallowed.Add(1)
			continue
		}
		c.left = slices.Concat(header, rest)
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

// pooled is a pool whose connections go through such a pooler.
func pooled(t *testing.T, db *pgtest.Database, hears *atomic.Bool, swallowed *atomic.Int64) *pgxpool.Pool {
	t.Helper()
	settings, err := pgxpool.ParseConfig(db.ServingURL)
	require.NoError(t, err)
	require.Nil(t, settings.ConnConfig.TLSConfig, "the messages are read in clear")
	settings.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		inner, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &deaf{Conn: inner, hears: hears, swallowed: swallowed}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), settings)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// TestTailFindsOutThatItIsDeaf: it listens without an error and hears nothing. It finds the news itself, and does not
// rest on that session: it tries another one, until one hears.
func TestTailFindsOutThatItIsDeaf(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	var hears atomic.Bool
	var swallowed atomic.Int64
	tail := eventstore.NewTail(eventstore.New(pooled(t, db, &hears, &swallowed)), eventstore.Lifecycle)
	news := tail.News()
	defer news.Close()
	run(t, tail)
	other := eventstore.New(db.Pool(t))
	for round := range int64(3) {
		_, err := other.Append(t.Context(), "acme", eventstore.Lifecycle,
			[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(1)}}, nil)
		require.NoError(t, err)
		told(t, news, "acme", round+1)
	}
	var before []string
	require.Eventually(t, func() bool {
		before = listeners(t, db)
		return len(before) == 1 && swallowed.Load() >= 1
	}, patience, tick, "it listens, and its probe was swallowed")
	require.Eventually(t, func() bool {
		now := listeners(t, db)
		return len(now) == 1 && now[0] != before[0]
	}, patience, 10*tick, "another session")

	hears.Store(true)
	admin := pgtest.Pool(t, db.AdminURL)
	require.Eventually(t, func() bool {
		_, err := admin.Exec(t.Context(), `notify phantom_lifecycle, '{"globex":7}'`) // no polling would find it
		return err == nil && news.Take()["globex"] == 7
	}, patience, tick)
}
