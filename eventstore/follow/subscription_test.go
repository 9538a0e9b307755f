package follow_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

func TestEveryTenantIsDeliveredInOrderAndOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var first record
	early := s.append("early", "A", 250)
	stop := s.subscribe(s.pool, follow.Subscription{Types: []string{"A", "B"}, Batch: 7}, first.handle)
	s.append("new", "A", 3)
	s.append("new", "Other", 2)
	head := s.append("new", "B", 1)
	others := s.append("others", "Other", 4)
	s.reaches("early", early)
	s.reaches("new", head)
	s.reaches("others", others) // what passes by counts as handled
	require.Equal(t, upTo(1, early), first.of("early"))
	require.Equal(t, []int64{1, 2, 3, 6}, first.of("new"))
	require.Empty(t, first.of("others"))
	stop()

	var second record
	s.subscribe(s.pool, follow.Subscription{Types: []string{"A", "B"}}, second.handle)
	last := s.append("new", "A", 2)
	s.reaches("new", last)
	require.Equal(t, []int64{7, 8}, second.of("new"), "what was acknowledged does not come again")
	require.Empty(t, second.of("early"))
}

// TestACleanEndAcknowledgesWhatWasHandled: also before the threshold and in the middle of a tenant's news; what was in
// flight comes again.
func TestACleanEndAcknowledgesWhatWasHandled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	head := s.append("a", "A", 10)
	entered := make(chan struct{})
	stop := s.subscribe(s.pool, follow.Subscription{Batch: 2, AckEvery: 1000, AckAfter: time.Hour},
		func(ctx context.Context, d *follow.Delivery) error {
			if d.Events[0].Position < 5 {
				return nil
			}
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		})
	<-entered
	at, _, _ := s.cursor("a")
	require.Zero(t, at, "neither the threshold nor the end of the news was reached")
	stop()
	at, failure, _ := s.cursor("a")
	require.EqualValues(t, 4, at)
	require.Empty(t, failure)

	var again record
	s.subscribe(s.pool, follow.Subscription{}, again.handle)
	s.reaches("a", head)
	require.Equal(t, upTo(5, 10), again.of("a"))
}

// TestADeadRunnerLosesNothing: its connections are gone before it could acknowledge.
func TestADeadRunnerLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	head := s.append("a", "A", 10)
	pool := s.db.Pool(t)
	entered := make(chan struct{})
	stop := s.subscribe(pool, follow.Subscription{Batch: 1, AckEvery: 3, AckAfter: time.Hour},
		func(ctx context.Context, d *follow.Delivery) error {
			if d.Events[0].Position == 6 {
				close(entered)
				<-ctx.Done()
			}
			return nil
		})
	<-entered
	at, _, _ := s.cursor("a")
	require.EqualValues(t, 3, at, "the threshold")
	pool.Close()
	stop()
	var again record
	s.subscribe(s.pool, follow.Subscription{}, again.handle)
	s.reaches("a", head)
	require.Equal(t, upTo(4, 10), again.of("a"), "what was not acknowledged")
}

// TestTheCursorMovesInTimeWhenATenantIsBusyForLong: a handler that is slow at more news.
func TestTheCursorMovesInTimeWhenATenantIsBusyForLong(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.append("a", "A", 3)
	s.subscribe(s.pool, follow.Subscription{Batch: 1, AckEvery: 1000, AckAfter: time.Nanosecond},
		func(ctx context.Context, d *follow.Delivery) error {
			if d.Events[0].Position == 3 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
	s.reaches("a", 2)
}

func TestAFailingHandlerStopsItsTenantAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var seen record
	var cured atomic.Bool
	var told sync.Map
	handle := func(ctx context.Context, d *follow.Delivery) error {
		for _, e := range d.Events {
			if e.EventType == "Poison" && !cured.Load() {
				return errors.New("it is poison")
			}
		}
		return seen.handle(ctx, d)
	}
	s.append("sick", "A", 41)
	s.append("sick", "Poison", 1)
	last := s.append("sick", "A", 20)
	s.subscribe(s.pool, follow.Subscription{Failed: func(tenant string, err error) { told.Store(tenant, err.Error()) }}, handle)
	for range 10 {
		s.reaches("well", s.append("well", "A", 1))
	}
	s.eventually(func() bool { _, failure, _ := s.cursor("sick"); return failure != "" }, "it is written down")
	at, failure, blamed := s.cursor("sick")
	require.EqualValues(t, 41, at, "what lies before the poison is handled")
	require.EqualValues(t, 42, blamed)
	require.Contains(t, failure, "it is poison")
	text, found := told.Load("sick")
	require.True(t, found)
	require.Contains(t, text, "it is poison")

	cured.Store(true)
	s.reaches("sick", last)
	require.Equal(t, upTo(1, last), seen.of("sick"))
	_, failure, _ = s.cursor("sick")
	require.Empty(t, failure)
}

// TestACorruptEventStopsItsTenantAlone: history that was changed behind the store's back is not delivered.
func TestACorruptEventStopsItsTenantAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	own := s.store
	s.store = eventstore.New(s.pool) // another process: what this one appends it remembers as it was
	s.append("sick", "A", 5)
	s.store = own
	admin := pgtest.Pool(t, s.db.AdminURL)
	for _, statement := range []string{
		"alter table lifecycle.events disable trigger refuse_change",
		`update lifecycle.events set event_data = '"forged"' where tenant_id = 'sick' and position = 3`,
	} {
		_, err := admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	var seen record
	s.subscribe(s.pool, follow.Subscription{}, seen.handle)
	s.reaches("well", s.append("well", "A", 2))
	s.eventually(func() bool { _, failure, _ := s.cursor("sick"); return failure != "" }, "it is written down")
	at, failure, blamed := s.cursor("sick")
	require.EqualValues(t, 2, at)
	require.EqualValues(t, 3, blamed)
	require.Contains(t, failure, eventstore.ErrCorrupt.Error())
	require.Equal(t, upTo(1, 2), seen.of("sick"))
}

func TestASlowTenantDelaysNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var seen record
	s.subscribe(s.pool, follow.Subscription{Workers: 2}, func(ctx context.Context, d *follow.Delivery) error {
		if d.Tenant == "slow" && d.Events[0].Position == 1 {
			close(entered)
			<-leave
		}
		return seen.handle(ctx, d)
	})
	s.append("slow", "A", 1)
	<-entered
	slow := s.append("slow", "A", 4)
	for range 20 {
		s.reaches("free", s.append("free", "A", 1))
	}
	require.Empty(t, seen.of("slow"))
	close(leave)
	s.reaches("slow", slow)
	require.Equal(t, upTo(1, slow), seen.of("slow"))
}

// TestALockedCursorDelaysNobody: somebody holds its row; it is acknowledged later.
func TestALockedCursorDelaysNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var seen record
	s.subscribe(s.pool, follow.Subscription{AckAfter: time.Millisecond}, seen.handle)
	s.reaches("stuck", s.append("stuck", "A", 1))
	foreign, err := pgtest.Pool(t, s.db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	_, err = foreign.Exec(t.Context(), `select from phantom.subscription_cursor where tenant_id = 'stuck' for update`)
	require.NoError(t, err)
	stuck := s.append("stuck", "A", 5)
	s.eventually(func() bool { return len(seen.of("stuck")) == 6 }, "it is handled")
	for range 20 {
		s.reaches("free", s.append("free", "A", 1))
	}
	at, _, _ := s.cursor("stuck")
	require.EqualValues(t, 1, at)
	require.NoError(t, foreign.Rollback(t.Context()))
	s.reaches("stuck", stuck)
	require.Equal(t, upTo(1, stuck), seen.of("stuck"), "it is not handled again")
}

func TestASubscriptionMayStartNow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.append("old", "A", 5)
	var first record
	stop := s.subscribe(s.pool, follow.Subscription{Start: follow.Now}, first.handle)
	s.reaches("old", 5) // its first cursor
	s.reaches("new", s.append("new", "A", 2))
	stop()
	s.append("newer", "A", 2)
	last := s.append("old", "A", 2)
	var second record
	s.subscribe(s.pool, follow.Subscription{Start: follow.Now}, second.handle)
	s.reaches("old", last)
	s.reaches("newer", 2)
	require.Empty(t, first.of("old"))
	require.Equal(t, upTo(1, 2), first.of("new"), "a tenant that comes later is followed from its first event")
	require.Equal(t, upTo(6, 7), second.of("old"), "it starts once")
	require.Equal(t, upTo(1, 2), second.of("newer"))
}

func TestASubscriptionThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	handle := new(record).handle
	require.ErrorIs(t, follow.Subscribe(t.Context(), s.pool, s.tail, follow.Subscription{}, handle), follow.ErrSubscription)
	named := follow.Subscription{Name: "x"}
	require.ErrorIs(t, follow.Subscribe(t.Context(), s.pool, nil, named, handle), follow.ErrSubscription)
	require.ErrorIs(t, follow.Subscribe(t.Context(), s.pool, s.tail, named, nil), follow.ErrSubscription)

	s.subscribe(s.pool, follow.Subscription{}, handle)
	s.reaches("a", s.append("a", "A", 1))
	told := make(chan error, 100)
	other := follow.Subscription{Name: "sub", Failed: func(_ string, err error) { told <- err }}
	s.background(func(ctx context.Context) {
		_ = follow.Subscribe(ctx, s.pool, eventstore.NewTail(s.store, eventstore.Inference), other, handle)
	})
	require.ErrorIs(t, <-told, follow.ErrSubscription, "one name, one log")
}
