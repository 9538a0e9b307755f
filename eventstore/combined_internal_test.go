package eventstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
)

// TestOfWhatTravelsTogetherEachHasItsOwnOutcome sends one call of each kind together. What is plain is appended; of the
// others nothing is written, and by itself each hears what is the matter.
func TestOfWhatTravelsTogetherEachHasItsOwnOutcome(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := New(db.Pool(t))
	stored := fieldCall("acme", "stored", 2).appends[0]
	for _, tenant := range []string{"acme", "held"} {
		_, err := store.Append(t.Context(), tenant, Lifecycle, []Append{stored}, &CommandRecord{ID: "known", RequestHash: []byte("one")})
		require.NoError(t, err)
	}
	foreign, err := pgtest.Pool(t, db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	defer foreign.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // It ended before, or the test failed.
	_, err = foreign.Exec(t.Context(), "select from lifecycle.heads where tenant_id = 'held' for update")
	require.NoError(t, err)

	of := func(tenant string, a Append, cmd *CommandRecord) *call {
		return newCall(tenant, Lifecycle, []Append{a}, cmd)
	}
	fresh := func(stream string, expect Expectation) Append {
		a := fieldCall("", stream, 2).appends[0]
		a.Expect = expect
		return a
	}
	elsewhere := stored
	elsewhere.Stream.ID = "elsewhere"
	plain := []*call{
		of("acme", fresh("a", NoStream()), &CommandRecord{ID: "new", RequestHash: []byte("one"), Result: []byte(`{"n":1}`)}),
		of("acme", fresh("b", Any()), nil),
		of("globex", fresh("a", NoStream()), nil), // its first append
	}
	odd := map[string]*call{
		"conflict":          of("acme", fresh("c", Exact(5)), nil),
		"repeated":          of("acme", stored, nil),
		"duplicate event":   of("acme", elsewhere, nil),
		"duplicate command": of("acme", fresh("d", Any()), &CommandRecord{ID: "known", RequestHash: []byte("two")}),
	}
	held := of("held", fresh("a", NoStream()), nil)
	together := append([]*call{held}, plain...)
	for _, c := range odd {
		together = append(together, c)
	}
	require.False(t, store.deliver(t.Context(), false, together))

	for i, want := range []Appended{{Revision: 2, Position: 4}, {Revision: 2, Position: 6}, {Revision: 2, Position: 2}} {
		require.True(t, plain[i].known)
		require.NoError(t, plain[i].err)
		got := plain[i].result[0]
		require.Equal(t, [2]int64{want.Revision, want.Position}, [2]int64{got.Revision, got.Position})
		require.False(t, got.RecordedAt.IsZero())
	}
	head, err := store.Head(t.Context(), "acme", Lifecycle)
	require.NoError(t, err)
	require.EqualValues(t, 6, head, "nothing of the others")
	require.False(t, held.known)
	require.True(t, store.deliver(t.Context(), false, []*call{held}), "its head is busy")
	require.NoError(t, foreign.Rollback(t.Context()))
	require.False(t, store.deliver(t.Context(), false, []*call{held}))
	require.NoError(t, held.err)

	for name, c := range odd {
		require.False(t, c.known, name)
		require.False(t, store.deliver(t.Context(), false, []*call{c}), name)
	}
	conflict, ok := errors.AsType[*Conflict](odd["conflict"].err)
	require.True(t, ok)
	require.Zero(t, conflict.Actual)
	require.True(t, odd["repeated"].result[0].Repeated)
	require.ErrorIs(t, odd["duplicate event"].err, ErrDuplicateEvent)
	require.ErrorIs(t, odd["duplicate command"].err, ErrDuplicateCommand)
	_, known, err := store.Fetch(t.Context(), "acme", Lifecycle, nil, "new")
	require.NoError(t, err)
	require.JSONEq(t, `{"n":1}`, string(known.Result))
}

// TestAnErrorOfOneCallIsNotTheOthers: of a combined call that PostgreSQL refuses as a whole each part is sent alone.
func TestAnErrorOfOneCallIsNotTheOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	_, err := pgtest.Pool(t, db.AdminURL).Exec(t.Context(), `
		create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
		create trigger refuse before insert on lifecycle.events for each row when (new.aggregate_id = 'bad') execute function refuse()`)
	require.NoError(t, err)
	store := New(db.Pool(t))
	good, bad := fieldCall("acme", "good", 1), fieldCall("acme", "bad", 1)
	require.False(t, store.deliver(t.Context(), false, []*call{good, bad}))
	for _, c := range []*call{good, bad} {
		require.False(t, c.known)
		require.True(t, c.alone)
		require.False(t, store.deliver(t.Context(), false, []*call{c}))
	}
	require.NoError(t, good.err)
	require.ErrorContains(t, bad.err, "no")
}

// TestWhoLeavesNeitherLosesNorDoubles: callers that give up at any moment and come again have each event once.
func TestWhoLeavesNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	store := New(pgtest.New(t).Pool(t))
	const callers, each = 16, 8
	var all sync.WaitGroup
	want := make([]map[uuid.UUID]struct{}, callers)
	for i := range callers {
		want[i] = make(map[uuid.UUID]struct{})
		all.Go(func() {
			for range each {
				a := fieldCall("", "hot", 2).appends
				for _, e := range a[0].Events {
					want[i][e.ID] = struct{}{}
				}
				impatient, leave := context.WithTimeout(t.Context(), rand.N(8*time.Millisecond)) //nolint:gosec // spreads the moments
				_, err := store.Append(impatient, "acme", Lifecycle, a, nil)
				leave()
				if err != nil {
					_, err = store.Append(t.Context(), "acme", Lifecycle, a, nil)
				}
				if err != nil {
					t.Errorf("append again: %v", err)
				}
			}
		})
	}
	all.Wait()
	events, err := store.Load(t.Context(), "acme", Lifecycle, Stream{Type: "Thing", ID: "hot"}, Range{})
	require.NoError(t, err)
	require.Len(t, events, callers*each*2)
	for _, e := range events {
		found := false
		for i := range want {
			if _, own := want[i][e.EventID]; own {
				found = true
				delete(want[i], e.EventID)
			}
		}
		require.True(t, found, "an event stands there twice")
	}
}

// TestATailLooksWhenItMeetsAnother: what that one appended before it knew of this one, it told nobody.
func TestATailLooksWhenItMeetsAnother(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	tail := NewTail(New(db.Pool(t)), Lifecycle)
	conn, err := tail.connect(t.Context())
	require.NoError(t, err)
	defer closeNow(t.Context(), conn)
	ctx, stop := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	hearing.Go(func() { tail.hear(ctx, conn) })
	defer hearing.Wait()
	defer stop()
	looks := func(why string) {
		select {
		case <-tail.asked:
		case <-time.After(patience):
			require.Fail(t, "it does not look", why)
		}
	}
	looks("it hears")
	_, err = pgtest.Pool(t, db.AdminURL).Exec(t.Context(), "select pg_notify('phantom_lifecycle', '?other')")
	require.NoError(t, err)
	looks("there is another one")
}

// TestACallKeepsNothingOfItsCaller: who leaves may use what he gave again, while the call is still under way.
func TestACallKeepsNothingOfItsCaller(t *testing.T) {
	t.Parallel()
	a := fieldCall("acme", "s", 2).appends
	cmd := &CommandRecord{ID: "first", RequestHash: []byte("one"), Result: []byte(`1`)}
	id := a[0].Events[1].ID
	c := newCall("acme", Lifecycle, a, cmd)
	cmd.ID, cmd.RequestHash[0], cmd.Result[0] = "second", 'X', '2'
	a[0].Stream.ID, a[0].Events[1].ID = "other", [16]byte{}
	require.Equal(t, CommandRecord{ID: "first", RequestHash: []byte("one"), Result: []byte(`1`)}, *c.cmd)
	require.Equal(t, "s", c.appends[0].Stream.ID)
	require.Equal(t, id, c.appends[0].Events[1].ID)
}
