package artifact_test

import (
	"archive/tar"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
)

func servable() []artifact.File {
	return []artifact.File{
		{Name: artifact.ModelFile, Body: bytes.Repeat([]byte("weights "), 1<<12)},
		{Name: artifact.SignatureFile, Body: []byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]}`)},
		{Name: artifact.GoldenFile, Body: []byte(`{"inputs":[[1,2,3,4]],"outputs":[[0,0,1]],"tolerance":0.001}`)},
	}
}

func TestCheckServable(t *testing.T) {
	t.Parallel()
	store, _ := openFolder(t)
	stored, err := store.PutBundle(t.Context(), servable())
	require.NoError(t, err)
	signature, err := store.CheckServable(t.Context(), stored.Digest)
	require.NoError(t, err)
	require.Equal(t, domain.Signature{
		Inputs:  []domain.Tensor{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 4}}},
		Outputs: []domain.Tensor{{Name: "y", Datatype: "FP32", Shape: []int64{-1, 3}}},
	}, signature)

	for says, change := range map[string]func([]artifact.File) []artifact.File{
		"it has no model.onnx":     func(f []artifact.File) []artifact.File { return f[1:] },
		"it has no golden.json":    func(f []artifact.File) []artifact.File { return f[:2] },
		"golden.json is not of":    func(f []artifact.File) []artifact.File { f[2].Body = []byte(`{"inputs":[1]}`); return f },
		"and at least one":         func(f []artifact.File) []artifact.File { f[2].Body = []byte(`{}`); return f },
		"signature.json is larger": func(f []artifact.File) []artifact.File { f[1].Body = make([]byte, 256<<10+1); return f },
		"signature.json is not of": func(f []artifact.File) []artifact.File { f[1].Body = nil; return f },
		"labels.json is not of its": func(f []artifact.File) []artifact.File {
			return append(f, artifact.File{Name: "labels.json", Body: []byte(`{}`)})
		},
	} {
		stored, err := store.PutBundle(t.Context(), change(servable()))
		require.NoError(t, err)
		_, err = store.CheckServable(t.Context(), stored.Digest)
		require.ErrorIs(t, err, artifact.ErrNotServable, says)
		require.ErrorContains(t, err, says)
	}
	_, err = store.CheckServable(t.Context(), digest([]byte("never stored")))
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

// Damage is told as damage, wherever it is, and not as a bad bundle.
func TestADamagedBundleIsCorrupt(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	stored, err := store.PutBundle(t.Context(), servable())
	require.NoError(t, err)
	path := files(t, dir)[0]
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, at := range []int{0, 600, len(whole) / 2, len(whole) - 1} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0xff
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err = store.CheckServable(t.Context(), stored.Digest)
		require.ErrorIs(t, err, artifact.ErrCorrupt, "byte %d", at)
		require.NotErrorIs(t, err, artifact.ErrNotServable)
	}
}

func TestABundleOfVeryManyFilesIsRefused(t *testing.T) {
	t.Parallel()
	store, _ := openFolder(t)
	headers := make([]tar.Header, 10_001)
	for i := range headers {
		headers[i].Name = strconv.Itoa(i)
	}
	stored, err := store.Put(t.Context(), bytes.NewReader(archive(t, headers...)))
	require.NoError(t, err)
	_, err = store.GetBundle(t.Context(), stored.Digest)
	require.ErrorIs(t, err, artifact.ErrMalformedBundle)
	require.ErrorContains(t, err, "more than 10000 files")
	stored, err = store.Put(t.Context(), strings.NewReader(""))
	require.NoError(t, err)
	_, err = store.CheckServable(t.Context(), stored.Digest)
	require.ErrorIs(t, err, artifact.ErrNotServable)
}
