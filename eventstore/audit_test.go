package eventstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// history is a tenant's log of twelve events: calls of one, three, two events on several streams, and so again. It was
// anchored at 6 and at 12.
type history struct {
	store     *eventstore.Store
	admin     *pgxpool.Pool
	auditor   *eventstore.Auditor
	anchoring *eventstore.Anchoring
	anchors   *artifact.Store
	now       time.Time
	alarms    []error
}

const audited = "acme"

func newHistory(t *testing.T) *history {
	t.Helper()
	db := pgtest.New(t)
	anchors, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, anchors.Close()) })
	h := &history{
		store: eventstore.New(db.Pool(t)), admin: pgtest.Pool(t, db.AdminURL), anchors: anchors,
		now: time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC),
	}
	h.auditor = eventstore.NewAuditor(h.store, anchors)
	h.anchoring = h.newAnchoring()
	for range 2 {
		h.append(t, "a", 1)
		h.append(t, "b", 3)
		h.append(t, "a", 2)
		h.anchor(t)
		require.Empty(t, h.alarms)
	}
	return h
}

func (h *history) newAnchoring() *eventstore.Anchoring {
	return eventstore.NewAnchoring(h.auditor, eventstore.Lifecycle, func(_ string, err error) { h.alarms = append(h.alarms, err) })
}

func (h *history) append(t *testing.T, id string, n int) {
	t.Helper()
	_, err := h.store.Append(t.Context(), audited, eventstore.Lifecycle,
		[]eventstore.Append{{Stream: stream(id), Events: eventstoretest.Batch(n)}}, nil)
	require.NoError(t, err)
}

// anchor looks twice, a minute apart.
func (h *history) anchor(t *testing.T) {
	t.Helper()
	for range 2 {
		require.NoError(t, h.anchoring.Look(t.Context(), h.now))
		h.now = h.now.Add(time.Minute)
	}
}

func (h *history) verify(t *testing.T) eventstore.Report {
	t.Helper()
	report, err := h.auditor.Verify(t.Context(), audited, eventstore.Lifecycle)
	require.NoError(t, err)
	return report
}

// force changes history as a superuser can.
func (h *history) force(t *testing.T, statements ...string) {
	t.Helper()
	for _, table := range eventTables() {
		_, err := h.admin.Exec(t.Context(), "alter table "+table+" disable trigger refuse_change")
		require.NoError(t, err)
	}
	for _, statement := range statements {
		_, err := h.admin.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// relink computes all digests and links anew, as an attacker would who has read this package.
func (h *history) relink(t *testing.T) {
	t.Helper()
	rows, err := h.admin.Query(t.Context(), `select position, event_id, event_data, metadata, occurred_at, recorded_at,
		aggregate_id, aggregate_version, link is not null from lifecycle.events order by position`)
	require.NoError(t, err)
	link := eventstore.FirstLink(eventstore.Lifecycle, audited)
	var call []eventstore.Event
	links := map[int64]eventstore.Link{}
	digests := map[int64][32]byte{}
	for rows.Next() {
		var e eventstore.Event
		var last bool
		require.NoError(t, rows.Scan(&e.Position, &e.EventID, (*[]byte)(&e.EventData), (*[]byte)(&e.Metadata), &e.OccurredAt,
			&e.RecordedAt, &e.AggregateID, &e.AggregateVersion, &last))
		digests[e.Position] = eventstore.Digest(audited, stream(e.AggregateID), eventstore.NewEvent{
			ID: e.EventID, Type: "Happened", Version: 1, Data: e.EventData, Metadata: e.Metadata, OccurredAt: e.OccurredAt,
		})
		digest := digests[e.Position]
		e.Digest = digest[:]
		if call = append(call, e); last {
			link = link.Next(call...)
			links[e.Position], call = link, nil
		}
	}
	require.NoError(t, rows.Err())
	for position, digest := range digests {
		_, err := h.admin.Exec(t.Context(), "update lifecycle.events set digest = $2 where position = $1", position, digest[:])
		require.NoError(t, err)
	}
	for position, link := range links {
		_, err := h.admin.Exec(t.Context(), "update lifecycle.events set link = $2 where position = $1", position, link[:])
		require.NoError(t, err)
	}
}

func TestHistoryThatNobodyChangedVerifies(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	all := eventstore.Report{
		Tenant: audited, Log: eventstore.Lifecycle, Events: 12, FirstChained: 1, LastVerified: 12, LastAnchor: 12,
	}
	require.Equal(t, all, h.verify(t))
	h.force(t)
	h.relink(t)
	require.Equal(t, all, h.verify(t), "the links that Go computes are those that PostgreSQL wrote")
	h.append(t, "c", 2)
	all.Events, all.LastVerified = 14, 14
	require.Equal(t, all, h.verify(t))

	nobody, err := h.auditor.Verify(t.Context(), "globex", eventstore.Lifecycle)
	require.NoError(t, err)
	require.Equal(t, eventstore.Report{Tenant: "globex", Log: eventstore.Lifecycle}, nobody)
}

// TestChangedHistoryIsFound: each by a superuser, each with its position. Calls end at 1, 4, 6, 7, 10, 12.
func TestChangedHistoryIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do            []string
		relink        bool
		flaw          eventstore.Flaw
		from, through int64
	}{
		"an edit":       {[]string{`update lifecycle.events set event_data = '{"number": 1}' where position = 3`}, false, eventstore.FlawDigest, 3, 3},
		"a new type":    {[]string{`update lifecycle.events set event_type = 'Other' where position = 5`}, false, eventstore.FlawDigest, 5, 5},
		"a deletion":    {[]string{`delete from lifecycle.events where position = 8`}, false, eventstore.FlawMissing, 8, 8},
		"the beginning": {[]string{`delete from lifecycle.events where position < 5`}, false, eventstore.FlawMissing, 1, 4},
		"positions exchanged in a stream": {[]string{
			`update lifecycle.events set position = 99 where position = 2`,
			`update lifecycle.events set position = 2 where position = 3`,
			`update lifecycle.events set position = 3 where position = 99`,
		}, false, eventstore.FlawOrder, 2, 2},
		"streams exchanged": {[]string{ // 5 is a's second revision, 8 is b's fourth; recorded_at stays in order
			`update lifecycle.events set position = 99 where position = 6`,
			`update lifecycle.events set position = 6, recorded_at = (select recorded_at from lifecycle.events where position = 5) where position = 7`,
			`update lifecycle.events set position = 7 where position = 99`,
		}, false, eventstore.FlawOrder, 6, 6},
		"contents exchanged": {[]string{`update lifecycle.events e set event_data = o.event_data from lifecycle.events o
			where (e.position, o.position) in ((8, 9), (9, 8))`}, false, eventstore.FlawDigest, 8, 8},
		"events exchanged but for their places": {[]string{
			`create temporary table taken as select * from lifecycle.events where position in (8, 9)`,
			`update lifecycle.events set event_id = gen_random_uuid() where position in (8, 9)`,
			`update lifecycle.events e set event_id = o.event_id, event_data = o.event_data, occurred_at = o.occurred_at, digest = o.digest
			   from taken o where o.position = 17 - e.position`,
		}, false, eventstore.FlawLink, 8, 10},
		"a revision":     {[]string{`update lifecycle.events set aggregate_version = 40 where position = 10`}, false, eventstore.FlawOrder, 10, 10},
		"an instant":     {[]string{`update lifecycle.events set recorded_at = recorded_at - interval '1 day' where position = 7`}, false, eventstore.FlawOrder, 7, 7},
		"a link removed": {[]string{`update lifecycle.events set link = null where position = 4`}, false, eventstore.FlawLink, 4, 4},
		"a link changed": {[]string{`update lifecycle.events set link = sha256('x') where position = 10`}, false, eventstore.FlawLink, 8, 10},
		"the last link":  {[]string{`update lifecycle.events set link = null where position = 12`}, false, eventstore.FlawLink, 12, 12},
		"every link":     {[]string{`update lifecycle.events set link = null`}, false, eventstore.FlawAnchor, 1, 6},
		"a truncation":   {[]string{`delete from lifecycle.events where position > 7`}, false, eventstore.FlawMissing, 8, 12},
		"all of it":      {[]string{`truncate lifecycle.events`}, false, eventstore.FlawMissing, 1, 6},
		"the tenant":     {[]string{`truncate lifecycle.events`, `delete from lifecycle.heads`}, false, eventstore.FlawMissing, 1, 6},
		"an edit, relinked": {[]string{
			`update lifecycle.events set event_data = '{"number":7}' where position = 9`,
		}, true, eventstore.FlawAnchor, 7, 12},
		"a deletion, relinked": {[]string{
			`delete from lifecycle.events where position = 12`, `update lifecycle.events set link = sha256('x') where position = 11`,
		}, true, eventstore.FlawMissing, 12, 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			tx, err := h.admin.Acquire(t.Context()) // temporary tables live in one session
			require.NoError(t, err)
			h.force(t)
			for _, statement := range c.do {
				_, err := tx.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			tx.Release()
			if c.relink {
				h.relink(t)
			}
			report := h.verify(t)
			require.NotNil(t, report.Broken, "%+v", report)
			require.Equal(t, c.flaw, report.Broken.Flaw, "%+v", *report.Broken)
			require.Equal(t, c.from, report.Broken.Position, "%+v", *report.Broken)
			require.Equal(t, c.through, report.Broken.Through, "%+v", *report.Broken)
			tenants, err := h.auditor.Tenants(t.Context(), eventstore.Lifecycle)
			require.NoError(t, err)
			require.Equal(t, []string{audited}, tenants, "also when nothing is left of it")
		})
	}
}

// TestEventsOlderThanTheChainAreTolerated: they have digests and no links, and may have been recorded in the same
// microsecond as the first call that has one.
func TestEventsOlderThanTheChainAreTolerated(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.force(t, `update lifecycle.events set link = null`,
		`update lifecycle.events set recorded_at = (select max(recorded_at) from lifecycle.events) + interval '1 hour' where position > 9`)
	h.append(t, "c", 2) // recorded in the same microsecond as 10, 11, 12
	h.append(t, "c", 1)
	elsewhere, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, elsewhere.Close()) })
	h.auditor = eventstore.NewAuditor(h.store, elsewhere)
	require.Equal(t, eventstore.Report{
		Tenant: audited, Log: eventstore.Lifecycle, Events: 15, FirstChained: 13, LastVerified: 15,
	}, h.verify(t))
	h.anchoring = h.newAnchoring()
	h.anchor(t)
	require.Empty(t, h.alarms)
	require.EqualValues(t, 15, h.verify(t).LastAnchor)
}

func TestAnAnchorIsWrittenOfVerifiedHistoryOnly(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.append(t, "a", 2)
	h.force(t, `update lifecycle.events set event_data = '{}' where position = 13`)
	h.anchor(t)
	require.Len(t, h.alarms, 1)
	require.ErrorIs(t, h.alarms[0], eventstore.ErrBroken)
	require.ErrorContains(t, h.alarms[0], "position 13 (digest)")
	require.Equal(t, 2, h.written(t))

	h.alarms, h.anchoring = nil, h.newAnchoring()
	h.force(t, `delete from lifecycle.events where position > 10`)
	h.anchor(t)
	require.Len(t, h.alarms, 1)
	require.ErrorContains(t, h.alarms[0], "position 11 (missing)")
	require.Equal(t, 2, h.written(t))
}

func TestAnchorsAreDueAfterAMinuteOrAThousandEvents(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.append(t, "a", 1)
	require.NoError(t, h.anchoring.Look(t.Context(), h.now))
	require.NoError(t, h.anchoring.Look(t.Context(), h.now.Add(59*time.Second)))
	require.Equal(t, 2, h.written(t), "not yet")
	require.NoError(t, h.anchoring.Look(t.Context(), h.now.Add(60*time.Second)))
	require.Equal(t, 3, h.written(t))
	h.append(t, "a", 1000)
	require.NoError(t, h.anchoring.Look(t.Context(), h.now.Add(61*time.Second)))
	require.Equal(t, 4, h.written(t), "at once")
	require.EqualValues(t, 1013, h.verify(t).LastAnchor)

	h.append(t, "a", 1)
	other := h.newAnchoring()
	for _, anchoring := range []*eventstore.Anchoring{h.anchoring, other} {
		for i := range 2 {
			require.NoError(t, anchoring.Look(t.Context(), h.now.Add(time.Duration(i+2)*time.Minute)))
		}
	}
	require.Empty(t, h.alarms, "two processes write the same")
	require.Equal(t, 5, h.written(t))
}

// written counts the anchors.
func (h *history) written(t *testing.T) int {
	t.Helper()
	n := 0
	for _, err := range h.anchors.Records(t.Context(), "anchors/lifecycle/"+audited+"/") {
		require.NoError(t, err)
		n++
	}
	return n
}

// An anchor that somebody wrote beside us is an alarm, and breaks the audit.
func TestAForeignAnchorIsAnAlarm(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.append(t, "a", 1)
	const name = "anchors/lifecycle/acme/00000000000000000013.json"
	require.NoError(t, h.anchors.Record(t.Context(), name, []byte(`{"link":"`+uuid.NewString()+`"}`)))
	h.anchor(t)
	require.Len(t, h.alarms, 1)
	require.ErrorIs(t, h.alarms[0], artifact.ErrRecordDiffers)
	report := h.verify(t)
	require.NotNil(t, report.Broken)
	require.Equal(t, eventstore.FlawAnchor, report.Broken.Flaw)
	require.EqualValues(t, 13, report.Broken.Position)
}
