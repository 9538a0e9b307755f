package eventstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// run runs a tail until the test ends.
func run(t *testing.T, tail *eventstore.Tail) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := tail.Run(ctx); ctx.Err() == nil {
			t.Errorf("the tail ended: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		ended.Wait()
	})
}

func listeners(t *testing.T, db *pgtest.Database) []string {
	t.Helper()
	return names(t, pgtest.Pool(t, db.AdminURL), `select pid::text from pg_stat_activity
		where datname = current_database() and query like 'listen phantom%'`)
}

// told waits until the news are of that tenant up to that position.
func told(t *testing.T, news *eventstore.News, tenant string, position int64) {
	t.Helper()
	patient, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		select {
		case <-news.C():
		case <-patient.Done():
			require.FailNow(t, "no news", "of %s at %d", tenant, position)
		}
		if news.Take()[tenant] == position {
			return
		}
	}
}

// TestTailHearsOthers: what another process notifies is news although the polling cannot find it, also on a connection
// that came after the first one was killed.
func TestTailHearsOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	tail := eventstore.NewTail(eventstore.New(db.Pool(t)), eventstore.Lifecycle)
	news := tail.News()
	defer news.Close()
	run(t, tail)
	position := 0
	notified := func() bool {
		position++
		_, err := admin.Exec(t.Context(), fmt.Sprintf(`notify phantom_lifecycle, '{"acme":%d}'`, position))
		return err == nil && news.Take()["acme"] > 0
	}
	require.Eventually(t, notified, patience, tick)

	before := listeners(t, db)
	require.Len(t, before, 1)
	_, err := admin.Exec(t.Context(), "select pg_terminate_backend($1::text::int)", before[0])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		now := listeners(t, db)
		return len(now) == 1 && now[0] != before[0]
	}, patience, 10*tick)
	news.Take()
	require.Eventually(t, notified, patience, tick)
}

// TestTailTellsOthers: an append is news in its own process, and other processes are told who has it and how far.
func TestTailTellsOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	others := listening(t, db, eventstore.Inference)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 1)
	tail := eventstore.NewTail(store, eventstore.Inference)
	news := tail.News()
	run(t, tail)
	told(t, news, "acme", 1)
	others.probe()
	done, err := store.Append(t.Context(), "acme", eventstore.Inference,
		[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(3)}}, nil)
	require.NoError(t, err)
	told(t, news, "acme", done[0].Position)
	payload := others.hear()
	for payload[0] == '?' {
		payload = others.hear()
	}
	require.JSONEq(t, `{"acme":4}`, payload)
	news.Close()
	news.Close()
	fill(t, store, "late", 1)
	require.Empty(t, news.Take(), "it is closed")
}

// company plays other processes, and hears what they would.
type company struct {
	t    *testing.T
	conn *pgx.Conn
	log  eventstore.Log
}

func listening(t *testing.T, db *pgtest.Database, log eventstore.Log) company {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.AdminURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	_, err = conn.Exec(t.Context(), "listen phantom_"+string(log))
	require.NoError(t, err)
	return company{t, conn, log}
}

func (c company) hear() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	heard, err := c.conn.WaitForNotification(ctx)
	require.NoError(c.t, err)
	require.Equal(c.t, "phantom_"+string(c.log), heard.Channel)
	return heard.Payload
}

// probe says that there is another tail, and waits for the answer; it tells what was heard before.
func (c company) probe() (before []string) {
	c.t.Helper()
	own := "?" + uuid.NewString()
	_, err := c.conn.Exec(c.t.Context(), "select pg_notify('phantom_"+string(c.log)+"', $1)", own)
	require.NoError(c.t, err)
	payload := c.hear()
	for ; payload != own; payload = c.hear() {
		before = append(before, payload)
	}
	require.Equal(c.t, "?", c.hear()[:1], "the answer")
	return before
}

// TestATailAloneNotifiesNobody: it says that it is there, and nothing of its appends until another one says so too.
func TestATailAloneNotifiesNobody(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	others := listening(t, db, eventstore.Lifecycle)
	store := eventstore.New(db.Pool(t))
	tail := eventstore.NewTail(store, eventstore.Lifecycle)
	news := tail.News()
	defer news.Close()
	run(t, tail)
	require.Eventually(t, tail.Alone, patience, tick)
	for n := range int64(3) {
		appendTo(t, store, "acme", batchFor("s", 1))
		told(t, news, "acme", n+1)
	}
	require.Eventually(t, tail.Told, patience, tick)
	for _, payload := range others.probe() {
		require.Equal(t, "?", payload[:1])
	}
	require.False(t, tail.Alone())
	appendTo(t, store, "acme", batchFor("s", 1))
	require.JSONEq(t, `{"acme":4}`, others.hear())
}

// TestTailFindsWhatNobodyTells: a process without a tail appends; polling finds it, of a new tenant too.
func TestTailFindsWhatNobodyTells(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	silent := eventstore.New(db.Pool(t))
	fill(t, silent, "early", 2)
	tail := eventstore.NewTail(eventstore.New(db.Pool(t)), eventstore.Lifecycle)
	news := tail.News()
	defer news.Close()
	run(t, tail)
	told(t, news, "early", 2)
	fill(t, silent, "acme", 1)
	told(t, news, "acme", 1)
	_, err := silent.Append(t.Context(), "early", eventstore.Lifecycle,
		[]eventstore.Append{{Stream: stream("s"), Events: eventstoretest.Batch(5)}}, nil)
	require.NoError(t, err)
	told(t, news, "early", 7)
}

func TestTailRefusesAnotherLog(t *testing.T) {
	t.Parallel()
	tail := eventstore.NewTail(eventstore.New(nil), "other")
	require.ErrorIs(t, tail.Run(t.Context()), eventstore.ErrMalformed)
}

// TestANewConnectionAsksAnew: other tails answer whom they have not met, so who listens again must be a stranger to them;
// else it would think itself alone until their next word.
func TestANewConnectionAsksAnew(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	others := listening(t, db, eventstore.Lifecycle)
	run(t, eventstore.NewTail(eventstore.New(db.Pool(t)), eventstore.Lifecycle))
	first := others.hear()
	require.Equal(t, "?", first[:1])
	_, err := admin.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and query like 'listen phantom%' and pid <> $1`, others.conn.PgConn().PID())
	require.NoError(t, err)
	again := others.hear()
	require.Equal(t, "?", again[:1])
	require.NotEqual(t, first, again)
}
