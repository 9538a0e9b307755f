package artifact_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
)

func TestARecordIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"file://" + t.TempDir(), "mem://"} {
		store, err := artifact.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		require.NoError(t, store.Record(t.Context(), "notes/b/2.json", []byte("two")))
		require.NoError(t, store.Record(t.Context(), "notes/b/2.json", []byte("two")), "the same again")
		require.ErrorIs(t, store.Record(t.Context(), "notes/b/2.json", []byte("other")), artifact.ErrRecordDiffers)
		body, err := store.ReadRecord(t.Context(), "notes/b/2.json")
		require.NoError(t, err)
		require.Equal(t, "two", string(body))
		_, err = store.ReadRecord(t.Context(), "notes/b/3.json")
		require.ErrorIs(t, err, artifact.ErrNotFound)

		require.NoError(t, store.Record(t.Context(), "notes/b/1.json", []byte("one")))
		require.NoError(t, store.Record(t.Context(), "notes/a/1.json", []byte("one")))
		require.Equal(t, []string{"notes/b/1.json", "notes/b/2.json"}, records(t, store, "notes/b/"))
		require.Equal(t, []string{"notes/a/", "notes/b/"}, records(t, store, "notes/"))
		require.Empty(t, records(t, store, "elsewhere/"))
	}
}

func records(t *testing.T, store *artifact.Store, prefix string) []string {
	t.Helper()
	var found []string
	for name, err := range store.Records(t.Context(), prefix) {
		require.NoError(t, err)
		found = append(found, name)
	}
	return found
}
