package artifact_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/memblob"

	"phantom/artifact"
	"phantom/domain"
)

func open(t *testing.T, url string) *artifact.Store {
	t.Helper()
	store, err := artifact.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func openFolder(t *testing.T) (*artifact.Store, string) {
	t.Helper()
	dir := t.TempDir()
	return open(t, "file://"+dir+"/made"), dir + "/made"
}

func digest(body []byte) domain.Digest {
	sum := sha256.Sum256(body)
	return domain.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func read(t *testing.T, store *artifact.Store, d domain.Digest) ([]byte, error) {
	t.Helper()
	r, err := store.Get(t.Context(), d)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	require.NoError(t, r.Close())
	return body, err
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	return found
}

func TestPutAndGet(t *testing.T) {
	t.Parallel()
	folder, _ := openFolder(t)
	for name, store := range map[string]*artifact.Store{"file": folder, "mem": open(t, "mem://")} {
		for _, body := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("weights "), 1<<17)} {
			before, err := store.Exists(t.Context(), digest(body))
			require.NoError(t, err, name)
			require.False(t, before, name)

			stored, err := store.Put(t.Context(), bytes.NewReader(body))
			require.NoError(t, err, name)
			require.Equal(t, artifact.Stored{Digest: digest(body), Size: int64(len(body))}, stored, name)

			after, err := store.Exists(t.Context(), stored.Digest)
			require.NoError(t, err, name)
			require.True(t, after, name)
			got, err := read(t, store, stored.Digest)
			require.NoError(t, err, name)
			require.True(t, bytes.Equal(body, got), name)
		}
	}
}

func TestKeyIsTheContent(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	stored, err := store.Put(t.Context(), strings.NewReader("digits"))
	require.NoError(t, err)
	sum := strings.TrimPrefix(string(stored.Digest), "sha256:")
	require.Equal(t, []string{filepath.Join(dir, "sha256", sum[:2], sum)}, files(t, dir))
}

func TestGetRefuses(t *testing.T) {
	t.Parallel()
	store, _ := openFolder(t)
	_, err := store.Get(t.Context(), digest([]byte("never stored")))
	require.ErrorIs(t, err, artifact.ErrNotFound)
	for _, d := range []domain.Digest{"", "sha256:..", "../../etc/passwd", "md5:00"} {
		_, err = store.Get(t.Context(), d)
		require.ErrorIs(t, err, domain.ErrInvalidInput, "%q", d)
		found, err := store.Exists(t.Context(), d)
		require.NoError(t, err)
		require.False(t, found)
	}
}

func TestCorruptionIsFoundAndHealed(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	body := bytes.Repeat([]byte("weights "), 10_000)
	for name, damage := range map[string]func([]byte) []byte{
		"a flipped bit":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"truncated":       func(b []byte) []byte { return b[:len(b)-1] },
		"emptied":         func([]byte) []byte { return nil },
		"something added": func(b []byte) []byte { return append(b, 0) },
	} {
		stored, err := store.Put(t.Context(), bytes.NewReader(body))
		require.NoError(t, err)
		path := files(t, dir)[0]
		require.NoError(t, os.WriteFile(path, damage(bytes.Clone(body)), 0o600))

		_, err = read(t, store, stored.Digest)
		require.ErrorIs(t, err, artifact.ErrCorrupt, name)
		_, err = store.GetBundle(t.Context(), stored.Digest)
		require.ErrorIs(t, err, artifact.ErrCorrupt, name)

		_, err = store.Put(t.Context(), bytes.NewReader(body))
		require.NoError(t, err)
		_, err = read(t, store, stored.Digest)
		require.NoError(t, err, "putting it again replaces what was damaged: %s", name)
	}
}

func TestInterruptedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	broken := errors.New("the line is dead")
	_, err := store.Put(t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.Empty(t, files(t, dir))

	gone, cancel := context.WithCancel(t.Context())
	body := bytes.Repeat([]byte("weights "), 1<<16)
	_, err = store.Put(gone, &cancelAtEnd{bytes.NewReader(body), cancel})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, files(t, dir))
	found, err := store.Exists(t.Context(), digest(body))
	require.NoError(t, err)
	require.False(t, found)
}

// cancelAtEnd ends the caller's context between the reading and the publishing of an object.
type cancelAtEnd struct {
	io.Reader
	cancel context.CancelFunc
}

func (c *cancelAtEnd) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		c.cancel()
	}
	return n, err
}

func TestConcurrentPutsOfTheSame(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	body := bytes.Repeat([]byte("weights "), 1<<15)
	var group sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		group.Go(func() {
			if _, errs[i] = store.Put(t.Context(), bytes.NewReader(body)); errs[i] != nil {
				return
			}
			r, err := store.Get(t.Context(), digest(body))
			if err != nil {
				errs[i] = err
				return
			}
			_, err = io.Copy(io.Discard, r)
			errs[i] = errors.Join(err, r.Close())
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Len(t, files(t, dir), 1)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	_, err := artifact.Open(t.Context(), "nosuchscheme://bucket")
	require.ErrorContains(t, err, "nosuchscheme://bucket")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = artifact.Open(t.Context(), "file://"+file)
	require.ErrorContains(t, err, "not a directory")
}
