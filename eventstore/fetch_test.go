package eventstore_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
)

// TestTheCommandIsReadLast: a first attempt that is committed while the streams are read is known. Read before them, it
// would be missed, and its events be taken for somebody else's.
func TestTheCommandIsReadLast(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, _ := single(t, db)
	_, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(stream("s")), "c")
	require.NoError(t, err, "its statements are prepared: that needs the tables, too")
	admin := pgtest.Pool(t, db.AdminURL)
	first, err := admin.Begin(t.Context())
	require.NoError(t, err)
	defer first.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It ended before, or the test failed.
	_, err = first.Exec(t.Context(), "lock table lifecycle.events in access exclusive mode")
	require.NoError(t, err)

	type answer struct {
		fetched []eventstore.History
		known   *eventstore.CommandRecord
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		fetched, known, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(stream("s")), "c")
		answered <- answer{fetched, known, err}
	}()
	waits(t, admin)
	_, err = first.Exec(t.Context(), `select lifecycle.append_one(0, 'acme', 'Thing', 's', 0, 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 'c', 'hash', '{}')`)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))
	got := <-answered
	require.NoError(t, got.err)
	require.Empty(t, got.fetched[0].Events)
	require.NotNil(t, got.known)
}
