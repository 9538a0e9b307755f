package artifact_test

import (
	"archive/tar"
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
)

func TestBundleIsDeterministic(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	want := []artifact.File{
		{Name: "a/labels.json", Body: []byte(`["0"]`)},
		{Name: "model.onnx", Body: []byte{8, 8}},
	}
	first, err := store.PutBundle(t.Context(), want)
	require.NoError(t, err)
	second, err := store.PutBundle(t.Context(), []artifact.File{want[1], want[0]})
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Len(t, files(t, dir), 1)
	// The digest is stored in events for ever: a change of the form of bundles shows here.
	require.Equal(t, "sha256:7280f724ed4f735fe29df1ee32a2325d78aaa87d42115b13ea41da20efa33f6b", string(first.Digest))

	got, err := store.GetBundle(t.Context(), first.Digest)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPutBundleRefusesNames(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	for _, name := range hostile() {
		_, err := store.PutBundle(t.Context(), []artifact.File{{Name: name}})
		require.ErrorIs(t, err, artifact.ErrMalformedBundle, "%q", name)
	}
	_, err := store.PutBundle(t.Context(), []artifact.File{{Name: "twice"}, {Name: "twice"}})
	require.ErrorIs(t, err, artifact.ErrMalformedBundle)
	require.Empty(t, files(t, dir))
}

func TestGetBundleRefuses(t *testing.T) {
	t.Parallel()
	store, _ := openFolder(t)
	bad := map[string][]byte{
		"no tar":    []byte("this is a text, long or short, but never an archive"),
		"empty":     nil,
		"no file":   archive(t),
		"a link":    archive(t, tar.Header{Name: "model.onnx", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"a folder":  archive(t, tar.Header{Name: "folder", Typeflag: tar.TypeDir}),
		"twice":     archive(t, tar.Header{Name: "x"}, tar.Header{Name: "x"}),
		"truncated": archive(t, tar.Header{Name: "x"})[:300],
	}
	for _, name := range hostile() {
		if name != "" && name != "nul\x00" {
			bad[name] = archive(t, tar.Header{Name: name})
		}
	}
	for name, body := range bad {
		stored, err := store.Put(t.Context(), bytes.NewReader(body))
		require.NoError(t, err)
		got, err := store.GetBundle(t.Context(), stored.Digest)
		require.ErrorIs(t, err, artifact.ErrMalformedBundle, "%q", name)
		require.Nil(t, got)
	}
}

func hostile() []string {
	return []string{
		"", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/../../x", "a/../x", "./x", "a//b", "a/",
		`..\x`, `C:\x`, "nul\x00",
	}
}

func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	for _, header := range headers {
		require.NoError(t, w.WriteHeader(&header))
	}
	require.NoError(t, w.Close())
	return body.Bytes()
}
