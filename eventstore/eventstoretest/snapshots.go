package eventstoretest

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

// keepAll drops nothing in the cases.
func keepAll() eventstore.Keep { return eventstore.Keep{Newest: 1000, Every: 1} }

func snapshotOf(id, fingerprint string, revision, position int64) eventstore.Snapshot {
	state := json.RawMessage(fmt.Sprintf(` {"of": "%s", "at": %d}`, fingerprint, revision))
	return eventstore.Snapshot{Stream: on(id), Fingerprint: fingerprint, Revision: revision, Position: position, State: state}
}

func (b bench) save(t *testing.T, snap eventstore.Snapshot, keep eventstore.Keep) {
	t.Helper()
	require.NoError(t, b.SaveSnapshot(t.Context(), b.tenant, eventstore.Lifecycle, snap, keep))
}

// from is where the fetched snapshot stands, 0 for none; what follows it must be the rest of the stream.
func (b bench) from(t *testing.T, want eventstore.Want) int64 {
	t.Helper()
	fetched, _, err := b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, []eventstore.Want{want}, "")
	require.NoError(t, err)
	whole, err := b.Load(t.Context(), b.tenant, eventstore.Lifecycle, want.Stream, eventstore.Range{To: want.To, Through: want.Through})
	require.NoError(t, err)
	h := fetched[0]
	var from int64
	if h.Snapshot != nil {
		from = h.Snapshot.Revision
		require.Equal(t, snapshotOf(want.Stream.ID, want.Fingerprint, from, whole[from-1].Position), *h.Snapshot)
	}
	require.Equal(t, idsOf(whole[from:]), idsOf(h.Events))
	require.EqualValues(t, len(whole), h.Revision())
	if len(whole) > 0 {
		require.Equal(t, whole[len(whole)-1].Position, h.Position())
	}
	return from
}

func fetchFromSnapshots(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("other", eventstore.Any(), Batch(5)...))
	b.must(t, to("s", eventstore.Any(), Batch(10)...)) // revision r stands at position r + 5
	for _, revision := range []int64{8, 3, 10} {
		b.save(t, snapshotOf("s", "x", revision, revision+5), keepAll())
	}
	b.save(t, snapshotOf("s", "y", 5, 10), keepAll())
	for _, c := range []struct {
		want eventstore.Want
		from int64
	}{
		{eventstore.Want{Fingerprint: "x"}, 10},
		{eventstore.Want{Fingerprint: "y"}, 5},
		{eventstore.Want{Fingerprint: "z"}, 0},
		{eventstore.Want{}, 0},
		{eventstore.Want{Fingerprint: "x", To: 10}, 10},
		{eventstore.Want{Fingerprint: "x", To: 9}, 8},
		{eventstore.Want{Fingerprint: "x", To: 7}, 3},
		{eventstore.Want{Fingerprint: "x", To: 2}, 0},
		{eventstore.Want{Fingerprint: "x", Through: 13}, 8},
		{eventstore.Want{Fingerprint: "x", Through: 12}, 3},
		{eventstore.Want{Fingerprint: "x", Through: 7}, 0},
		{eventstore.Want{Fingerprint: "x", Through: 3}, 0},
	} {
		c.want.Stream = on("s")
		require.Equal(t, c.from, b.from(t, c.want), "%+v", c.want)
	}
	b.must(t, to("s", eventstore.Any(), Batch(2)...))
	require.EqualValues(t, 10, b.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "x"}))

	command := &eventstore.CommandRecord{ID: "c", RequestHash: []byte{1}, Result: []byte("{}")}
	_, err := b.Append(t.Context(), b.tenant, eventstore.Lifecycle, nil, command)
	require.NoError(t, err)
	fetched, known, err := b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, []eventstore.Want{
		{Stream: on("other"), Fingerprint: "x"}, {Stream: on("s"), Fingerprint: "y"}, {Stream: on("none"), Fingerprint: "y"},
	}, "c")
	require.NoError(t, err)
	require.Equal(t, command, known)
	require.Nil(t, fetched[0].Snapshot)
	require.Len(t, fetched[0].Events, 5)
	require.EqualValues(t, 5, fetched[1].Snapshot.Revision)
	require.Len(t, fetched[1].Events, 7)
	require.Nil(t, fetched[2].Snapshot)
	require.Empty(t, fetched[2].Events)
	require.Zero(t, fetched[2].Revision()+fetched[2].Position())
}

func snapshotsThatDoNotFit(t *testing.T, b bench) {
	t.Helper()
	b.must(t, to("s", eventstore.Any(), Batch(3)...))
	b.save(t, snapshotOf("s", "x", 2, 2), keepAll())
	b.save(t, snapshotOf("s", "x", 3, 2), keepAll()) // another position
	b.save(t, snapshotOf("s", "x", 4, 4), keepAll()) // behind the end
	b.save(t, snapshotOf("none", "x", 1, 1), keepAll())
	changed := snapshotOf("s", "x", 2, 2)
	changed.State = json.RawMessage(`{}`)
	b.save(t, changed, keepAll()) // the first one stays
	require.EqualValues(t, 2, b.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "x"}))
	b.must(t, to("s", eventstore.Any(), Batch(1)...))
	b.must(t, to("none", eventstore.Any(), Batch(1)...))
	require.EqualValues(t, 2, b.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "x"}))
	require.Zero(t, b.from(t, eventstore.Want{Stream: on("none"), Fingerprint: "x"}))

	other := bench{Store: b.Store, tenant: b.tenant + "-other"}
	other.must(t, to("s", eventstore.Any(), Batch(3)...))
	require.Zero(t, other.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "x"}), "another tenant's")

	for _, bad := range []eventstore.Snapshot{
		{Stream: on("s"), Revision: 1, Position: 1, State: json.RawMessage(`{}`)},
		{Stream: on(""), Fingerprint: "x", Revision: 1, Position: 1, State: json.RawMessage(`{}`)},
		{Stream: on("s"), Fingerprint: "x", Position: 1, State: json.RawMessage(`{}`)},
		{Stream: on("s"), Fingerprint: "x", Revision: 1, State: json.RawMessage(`{}`)},
		{Stream: on("s"), Fingerprint: "x", Revision: 1, Position: 1, State: json.RawMessage(`{`)},
	} {
		err := b.SaveSnapshot(t.Context(), b.tenant, eventstore.Lifecycle, bad, keepAll())
		require.ErrorIs(t, err, eventstore.ErrMalformed)
	}
	err := b.SaveSnapshot(t.Context(), b.tenant, eventstore.Lifecycle, snapshotOf("s", "x", 1, 1), eventstore.Keep{})
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}

// snapshotsAreThinned: of a long stream few stay, of the present most, and each fingerprint keeps its own.
func snapshotsAreThinned(t *testing.T, b bench) {
	t.Helper()
	const every = 5
	b.must(t, to("s", eventstore.Any(), Batch(40*every)...))
	b.save(t, snapshotOf("s", "y", 7, 7), keepAll())
	keep := eventstore.Keep{Newest: 2, Every: every}
	var revisions []int64
	for revision := int64(every); revision <= 40*every; revision += every {
		b.save(t, snapshotOf("s", "x", revision, revision), keep)
		revisions = append(revisions, revision)
	}
	stay := map[int64]bool{}
	for to := int64(1); to <= 40*every; to++ {
		stay[b.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "x", To: to})] = true
	}
	delete(stay, 0)
	dropped := keep.Drop(revisions)
	require.Len(t, stay, len(revisions)-len(dropped))
	for _, revision := range dropped {
		require.NotContains(t, stay, revision)
	}
	require.Less(t, len(stay), 15)
	require.Contains(t, stay, int64(40*every))
	require.Contains(t, stay, int64(39*every))
	require.EqualValues(t, 7, b.from(t, eventstore.Want{Stream: on("s"), Fingerprint: "y"}))
}
