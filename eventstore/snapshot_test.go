package eventstore_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/eventstore"
	"phantom/internal/pgtest"
)

// TestThinningKeepsAnchors: whatever revisions are saved in whatever order of time, the newest stay, few stay in all, and
// what is dropped now is dropped later too.
func TestThinningKeepsAnchors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keep := eventstore.Keep{Newest: rapid.IntRange(1, 4).Draw(t, "newest"), Every: rapid.Int64Range(1, 20).Draw(t, "every")}
		var all, stay []int64
		var revision int64
		for range 300 {
			revision += rapid.Int64Range(1, 2*keep.Every).Draw(t, "step")
			all, stay = append(all, revision), append(stay, revision)
			drop := keep.Drop(stay)
			stay = slices.DeleteFunc(stay, func(r int64) bool { return slices.Contains(drop, r) })
			require.Empty(t, keep.Drop(stay), "dropping again changes nothing")
			newest := all[max(0, len(all)-keep.Newest):]
			require.Subset(t, stay, newest)
		}
		once := keep.Drop(all)
		require.Equal(t, stay, slices.DeleteFunc(slices.Clone(all), func(r int64) bool { return slices.Contains(once, r) }),
			"it does not matter how often snapshots were thinned")
		require.LessOrEqual(t, len(stay), 16*keep.Newest+16)
		requireAnchors(t, keep, stay)
		blocks := map[int64]bool{}
		for _, revision := range stay[:len(stay)-keep.Newest] {
			require.NotContains(t, blocks, revision/keep.Every, "%v", stay)
			blocks[revision/keep.Every] = true
		}
	})
}

// TestThinning shows what stays of forty.
func TestThinning(t *testing.T) {
	t.Parallel()
	var revisions []int64
	for revision := range int64(40) {
		revisions = append(revisions, revision+1)
	}
	keep := eventstore.Keep{Newest: 2, Every: 1}
	drop := keep.Drop(revisions)
	stay := slices.DeleteFunc(revisions, func(r int64) bool { return slices.Contains(drop, r) })
	require.Equal(t, []int64{16, 24, 28, 32, 34, 36, 37, 38, 39, 40}, stay)
	require.Empty(t, keep.Drop([]int64{7, 9}))
}

// requireAnchors: the gap before an anchor is no longer than its age allows. A block may have got no snapshot, and the
// next multiple of the stride none either, so some slack is given.
func requireAnchors(t require.TestingT, keep eventstore.Keep, stay []int64) {
	head := stay[len(stay)-1]
	for i := 1; i < len(stay); i++ {
		age, gap := (head-stay[i-1])/keep.Every, (stay[i]-stay[i-1])/keep.Every
		require.LessOrEqual(t, gap, 4*(age/int64(keep.Newest)+2)+4, "%v", stay)
	}
}

// TestASnapshotOfAnotherHistoryIsPassedOver: after a restore the stream may have another event there.
func TestASnapshotOfAnotherHistoryIsPassedOver(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 5)
	save := func(revision int64) {
		require.NoError(t, store.SaveSnapshot(t.Context(), "acme", eventstore.Lifecycle, eventstore.Snapshot{
			Stream: stream("s"), Fingerprint: "x", Revision: revision, Position: revision, State: json.RawMessage(`{}`),
		}, eventstore.Keep{Newest: 9, Every: 1}))
	}
	save(2)
	save(4)
	admin := pgtest.Pool(t, db.AdminURL)
	for _, change := range []string{"position = 3", "position = 4, aggregate_version = 9"} {
		_, err := admin.Exec(t.Context(), "update lifecycle.snapshots set "+change+" where aggregate_version = 4")
		require.NoError(t, err)
		fetched, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Want{{Stream: stream("s"), Fingerprint: "x"}}, "")
		require.NoError(t, err)
		require.EqualValues(t, 2, fetched[0].Snapshot.Revision)
		require.Len(t, fetched[0].Events, 3)
	}
}

// TestSnapshotsOfFormerReleasesGo: a month after they were made, when their stream gets another one.
func TestSnapshotsOfFormerReleasesGo(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	fill(t, store, "acme", 5)
	save := func(fingerprint string, revision int64) {
		require.NoError(t, store.SaveSnapshot(t.Context(), "acme", eventstore.Lifecycle, eventstore.Snapshot{
			Stream: stream("s"), Fingerprint: fingerprint, Revision: revision, Position: revision, State: json.RawMessage(`{}`),
		}, eventstore.Keep{Newest: 9, Every: 1}))
	}
	save("former", 1)
	save("latest", 2)
	admin := pgtest.Pool(t, db.AdminURL)
	require.Equal(t, []string{"former", "latest"}, names(t, admin, "select fingerprint from lifecycle.snapshots order by 1"))
	_, err := admin.Exec(t.Context(), "update lifecycle.snapshots set created_at = now() - interval '31 days'")
	require.NoError(t, err)
	save("latest", 3)
	require.Equal(t, []string{"latest", "latest"}, names(t, admin, "select fingerprint from lifecycle.snapshots order by 1"))
}
