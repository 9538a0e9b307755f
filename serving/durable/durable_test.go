package durable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/serving/durable"
)

func TestSavedIsLoaded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	var got map[string]int
	require.ErrorIs(t, durable.Load(path, &got), fs.ErrNotExist)
	for n := range 3 {
		require.NoError(t, durable.Save(path, map[string]int{"n": n}))
		require.NoError(t, durable.Load(path, &got))
		require.Equal(t, map[string]int{"n": n}, got)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1) // no temporary file is left
}

func TestEveryChangeOfAByteIsDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, durable.Save(path, []string{"one", "two"}))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	var got []string
	for at := range len(whole) - 1 { // the last byte is only the end of the line
		changed := append([]byte{}, whole...)
		changed[at] ^= 0x20
		require.NoError(t, os.WriteFile(path, changed, 0o600))
		require.ErrorIs(t, durable.Load(path, &got), durable.ErrDamaged, "byte %d", at)
		require.NoError(t, os.WriteFile(path, whole[:at], 0o600))
		require.ErrorIs(t, durable.Load(path, &got), durable.ErrDamaged, "cut at %d", at)
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, durable.Save(path, 1))
	require.Error(t, durable.Save(path, func() {}))
	require.Error(t, durable.Save(filepath.Join(path, "below"), 2))
	var got int
	require.NoError(t, durable.Load(path, &got))
	require.Equal(t, 1, got)
}
