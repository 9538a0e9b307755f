package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// shut is a store that cannot reach its database: what a reader on it answers, it remembers.
func shut(t *testing.T, db *pgtest.Database) *eventstore.Store {
	t.Helper()
	pool := db.Pool(t)
	pool.Close()
	return eventstore.New(pool)
}

// joined is a store whose appends a tail hears of.
func joined(t *testing.T, db *pgtest.Database) (*eventstore.Store, *eventstore.Tail) {
	t.Helper()
	store := eventstore.New(db.Pool(t))
	tail := eventstore.NewTail(store, eventstore.Lifecycle)
	t.Cleanup(eventstore.Join(store, tail))
	return store, tail
}

func appendTo(t *testing.T, store *eventstore.Store, tenant string, appends ...eventstore.Append) {
	t.Helper()
	_, err := store.Append(t.Context(), tenant, eventstore.Lifecycle, appends, nil)
	require.NoError(t, err)
}

// batchFor is events of the types Type0 to Type3 in turn.
func batchFor(id string, n int) eventstore.Append {
	events := eventstoretest.Batch(n)
	for i := range events {
		events[i].Type = fmt.Sprintf("Type%d", i%4)
		events[i].OccurredAt = time.Now()
		if i%2 == 1 {
			events[i].CausationID, events[i].CorrelationID, events[i].Metadata = "cause", "saga", []byte(`{"actor": 1}`)
		}
	}
	return eventstore.Append{Stream: stream(id), Events: events}
}

// reads is a store or a reader.
type reads interface {
	ReadAfter(context.Context, eventstore.Log, []eventstore.Cursor, []string, int) ([]eventstore.Page, error)
}

// after reads one tenant with a reader; the pages are at most one.
func after(t *testing.T, r reads, tenant string, cursor int64, limit int, types ...string) []eventstore.Page {
	t.Helper()
	pages, err := r.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: tenant, After: cursor}}, types, limit)
	require.NoError(t, err)
	return pages
}

// TestOwnAppendsAreRemembered: a follower gets what its process appended without the database, and just as that has it.
func TestOwnAppendsAreRemembered(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, tail := joined(t, db)
	repeated := batchFor("s", 2)
	appendTo(t, store, "acme", repeated)
	appendTo(t, store, "acme", batchFor("s", 1))
	appendTo(t, store, "acme", batchFor("a", 2), batchFor("b", 1), batchFor("a-guard", 0))
	appendTo(t, store, "acme", repeated)
	_, err := store.Append(t.Context(), "acme", eventstore.Lifecycle,
		[]eventstore.Append{batchFor("s", 2)}, &eventstore.CommandRecord{ID: "c", RequestHash: []byte("h")})
	require.NoError(t, err)
	eventstore.DeliverTogether(t.Context(), store, "acme", uuid.NewString(), 5)

	remembering, other := eventstore.NewReader(shut(t, db), tail), eventstore.New(db.Pool(t))
	for cursor := range int64(13) {
		require.Equal(t, after(t, other, "acme", cursor, 4), after(t, remembering, "acme", cursor, 4), cursor)
	}
	whole := after(t, remembering, "acme", 0, 100)
	require.Len(t, whole[0].Events, 13)
	for _, e := range whole[0].Events {
		require.NoError(t, e.Verify())
		require.Equal(t, after(t, other, "acme", 0, 3, e.EventType), after(t, remembering, "acme", 0, 3, e.EventType))
	}
	none := after(t, remembering, "acme", 2, 3, "NoSuchType")
	require.Len(t, none, 1)
	require.Empty(t, none[0].Events)
	require.EqualValues(t, 13, none[0].Through, "looked at all the same")
	_, err = remembering.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme", After: 13}}, nil, 1)
	require.Error(t, err, "behind its end only the database knows")
}

// TestFollowersReadOnce: what one follower has read near the end of a log, the others find.
func TestFollowersReadOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, tail := joined(t, db)
	foreign, sent := single(t, db)
	appendTo(t, foreign, "acme", batchFor("s", 20))
	appendTo(t, store, "acme", batchFor("s", 1)) // the tail hears how far the log goes

	first := eventstore.NewReader(foreign, tail)
	sent.sent.Store(0)
	page := after(t, first, "acme", 0, 7, "Type1", "Type3")
	require.EqualValues(t, 1, sent.sent.Load())
	require.Len(t, page[0].Events, 7)
	for _, reader := range []*eventstore.Reader{first, eventstore.NewReader(shut(t, db), tail)} {
		require.Equal(t, page, after(t, reader, "acme", 0, 7, "Type1", "Type3"))
		require.Len(t, after(t, reader, "acme", 5, 100)[0].Events, 16)
	}
	require.EqualValues(t, 1, sent.sent.Load())
}

// TestFarFollowersReadAlone: who catches up reads the types that it asks for, and nobody waits for it.
func TestFarFollowersReadAlone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, tail := joined(t, db)
	foreign := eventstore.New(db.Pool(t))
	appendTo(t, foreign, "acme", batchFor("s", 600))
	appendTo(t, store, "acme", batchFor("s", 1))
	page := after(t, eventstore.NewReader(foreign, tail), "acme", 0, 1000, "Type1")
	require.Len(t, page[0].Events, 150)
	require.EqualValues(t, 601, page[0].Through)
	_, err := eventstore.NewReader(shut(t, db), tail).ReadAfter(t.Context(), eventstore.Lifecycle,
		[]eventstore.Cursor{{Tenant: "acme", After: 500}}, nil, 1)
	require.Error(t, err, "nothing of it is remembered")
}

// TestEachFollowerIsStoppedByItsOwn: an event that is not what was appended stops who asks for its type, and no other.
func TestEachFollowerIsStoppedByItsOwn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, tail := joined(t, db)
	foreign, admin := eventstore.New(db.Pool(t)), pgtest.Pool(t, db.AdminURL)
	appendTo(t, foreign, "acme", batchFor("s", 8))
	appendTo(t, store, "acme", batchFor("s", 1))
	for _, statement := range []string{
		"alter table lifecycle.events disable trigger refuse_change", `update lifecycle.events set event_data = '7' where position = 3`,
	} {
		_, err := admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	reader := eventstore.NewReader(foreign, tail)
	stopped := after(t, reader, "acme", 0, 100, "Type0", "Type2")
	require.ErrorIs(t, stopped[0].Err, eventstore.ErrCorrupt)
	require.EqualValues(t, 2, stopped[0].Through)
	whole := after(t, reader, "acme", 0, 100, "Type1")
	require.NoError(t, whole[0].Err)
	require.Len(t, whole[0].Events, 2)
	require.EqualValues(t, 9, whole[0].Through)
}

// TestFollowersBesideAppends: with appends of two processes, each follower gets every event once and in order, whatever
// it is given from memory and what it reads itself.
func TestFollowersBesideAppends(t *testing.T) {
	t.Parallel()
	const events, streams, batches = 3, 4, 40
	db := pgtest.New(t)
	store, tail := joined(t, db)
	foreign := eventstore.New(db.Pool(t))
	var working errgroup.Group
	for i := range streams {
		for _, by := range []*eventstore.Store{store, foreign} {
			working.Go(func() error {
				for range batches {
					to := batchFor(fmt.Sprint("s", i), events)
					if _, err := by.Append(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Append{to}, nil); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	for i := range 6 {
		reader := eventstore.NewReader(foreign, tail)
		working.Go(func() error {
			for at := int64(0); at < 2*events*streams*batches; {
				pages, err := reader.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme", After: at}}, nil, 1+5*i)
				if err != nil {
					return err
				}
				for _, page := range pages {
					for _, e := range page.Events {
						if at++; e.Position != at || e.Verify() != nil {
							return fmt.Errorf("follower %d got %d where %d was next (%w)", i, e.Position, at, e.Verify())
						}
					}
					if page.Through != at {
						return fmt.Errorf("follower %d got the events up to %d of a page through %d", i, at, page.Through)
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, working.Wait())
}

// TestAFollowerWithoutAConnectionDelaysNoOther: it reads for the others too, but they do not wait for it for long.
func TestAFollowerWithoutAConnectionDelaysNoOther(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, tail := joined(t, db)
	appendTo(t, eventstore.New(db.Pool(t)), "acme", batchFor("s", 3))
	appendTo(t, store, "acme", batchFor("s", 1)) // the tail hears how far the log goes
	starved := db.Pool(t)
	for range starved.Config().MaxConns {
		held, err := starved.Acquire(t.Context())
		require.NoError(t, err)
		defer held.Release()
	}
	ctx, end := context.WithCancel(t.Context())
	stuck := make(chan error, 1)
	go func() {
		_, err := eventstore.NewReader(eventstore.New(starved), tail).ReadAfter(ctx, eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}}, nil, 10)
		stuck <- err
	}()
	require.Eventually(t, func() bool { return eventstore.Reading(tail) }, patience, tick)
	soon, cancel := context.WithTimeout(t.Context(), patience/6)
	defer cancel()
	pages, err := eventstore.NewReader(store, tail).ReadAfter(soon, eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}}, nil, 10)
	end()
	require.Error(t, <-stuck)
	require.NoError(t, err)
	require.Len(t, pages[0].Events, 4)
}
