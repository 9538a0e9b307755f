package artifact_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
)

func TestAnObjectIsReadFromAnyPlace(t *testing.T) {
	t.Parallel()
	folder, _ := openFolder(t)
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	for name, store := range map[string]*artifact.Store{"file": folder, "mem": open(t, "mem://")} {
		stored, err := store.Put(t.Context(), bytes.NewReader(body))
		require.NoError(t, err, name)
		object, err := store.Object(t.Context(), stored.Digest)
		require.NoError(t, err, name)
		require.EqualValues(t, len(body), object.Size())
		end, err := object.Seek(0, io.SeekEnd)
		require.NoError(t, err)
		require.EqualValues(t, len(body), end)
		_, err = object.Seek(50_003, io.SeekStart)
		require.NoError(t, err)
		part := make([]byte, 4)
		_, err = io.ReadFull(object, part)
		require.NoError(t, err)
		require.Equal(t, "3456", string(part), name)
		_, err = object.Seek(0, io.SeekStart)
		require.NoError(t, err)
		whole, err := io.ReadAll(object)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, whole), name)
		require.NoError(t, object.Close())
	}
}

// The last bytes of a damaged object do not come, so whoever counts bytes sees that it is not whole.
func TestADamagedObjectHasNoEnd(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	body := bytes.Repeat([]byte("weights "), 10_000)
	for name, damage := range map[string]func([]byte) []byte{
		"a flipped bit":   func(b []byte) []byte { b[3] ^= 1; return b },
		"truncated":       func(b []byte) []byte { return b[:len(b)-1] },
		"something added": func(b []byte) []byte { return append(b, 0) },
	} {
		stored, err := store.Put(t.Context(), bytes.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(files(t, dir)[0], damage(bytes.Clone(body)), 0o600))
		object, err := store.Object(t.Context(), stored.Digest)
		require.NoError(t, err)
		copied, err := io.CopyN(io.Discard, object, object.Size())
		require.ErrorIs(t, err, artifact.ErrCorrupt, name)
		require.Less(t, copied, object.Size(), name)
		require.NoError(t, object.Close())
	}
}

func TestObjectRefuses(t *testing.T) {
	t.Parallel()
	store, _ := openFolder(t)
	_, err := store.Object(t.Context(), digest([]byte("never stored")))
	require.ErrorIs(t, err, artifact.ErrNotFound)
	_, err = store.Object(t.Context(), "../../etc/passwd")
	require.ErrorIs(t, err, domain.ErrInvalidInput)
}

func TestAClaimIsATenantsOwn(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	d := digest([]byte("weights"))
	claimed := func(tenant domain.Tenant) bool {
		there, err := store.Claimed(t.Context(), tenant, d)
		require.NoError(t, err)
		return there
	}
	require.False(t, claimed("acme"))
	first := artifact.Claim{Size: 7, By: domain.Actor{Subject: "ann"}, At: time.Unix(1, 0).UTC()}
	require.NoError(t, store.Claim(t.Context(), "acme", d, first))
	require.NoError(t, store.Claim(t.Context(), "acme", d, artifact.Claim{Size: 7, By: domain.Actor{Subject: "bob"}}))
	require.True(t, claimed("acme"))
	require.False(t, claimed("acm"))
	require.False(t, claimed("umbrella"))
	text, err := os.ReadFile(dir + "/claims/acme/" + strings.TrimPrefix(string(d), "sha256:") + ".json")
	require.NoError(t, err)
	require.Contains(t, string(text), "ann", "the first stays")

	for _, tenant := range []domain.Tenant{"", "..", "a/b", "A"} {
		require.ErrorIs(t, store.Claim(t.Context(), tenant, d, first), domain.ErrInvalidInput, tenant)
		_, err = store.Claimed(t.Context(), tenant, d)
		require.ErrorIs(t, err, domain.ErrInvalidInput, tenant)
	}
	require.ErrorIs(t, store.Claim(t.Context(), "acme", "sha256:../..", first), domain.ErrInvalidInput)
}
