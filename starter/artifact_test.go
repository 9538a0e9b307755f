package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modelFiles is a folder with what a deployment needs.
func modelFiles(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"model.onnx":     strings.Repeat("weights ", 1<<12),
		"signature.json": `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]}`,
		"golden.json":    `{"inputs":[[1,2,3,4]],"outputs":[[0,0,1]],"tolerance":0.001}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	return folder
}

// What is pushed comes back as it was, under one digest, however it was named.
func TestAnArtifactIsPushedRegisteredAndPulled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	folder, out := modelFiles(t), t.TempDir()
	run := func(status int, args ...string) result {
		t.Helper()
		r := phantom(t, h.url, args...)
		require.Equal(t, status, r.status, "%v: %s", args, r)
		return r
	}
	pushed := run(0, "artifact", "push", folder)
	require.Contains(t, pushed.errs, "phantom model register MODEL --artifact sha256:")
	digest := strings.TrimSpace(pushed.out)
	in := func(name string) string { return filepath.Join(folder, name) }
	again := run(0, "artifact", "push", in("signature.json"), in("model.onnx"), in("golden.json"), "--quiet")
	require.Equal(t, result{0, digest + "\n", ""}, again, "the same files are the same artifact")

	require.Contains(t, run(2, "model", "register", "digits", "--artifact", "sha256:x").errs, "artifacts_location")
	run(3, "model", "register", "nope", "--artifact", digest)
	run(0, "model", "create", "digits")
	require.Equal(t, "registered version 1\n", run(0, "model", "register", "digits", "--artifact", digest, "--metric", "accuracy=0.9").out)
	require.Equal(t, "2\n", run(0, "model", "register", "digits", "--artifact", digest, "--quiet").out)

	to, tar := filepath.Join(out, "files"), filepath.Join(out, "all.tar")
	require.Contains(t, run(0, "artifact", "pull", digest, "--to", to).out, filepath.Join(to, "model.onnx"))
	for _, name := range []string{"model.onnx", "signature.json", "golden.json"} {
		want, err := os.ReadFile(in(name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
	require.Contains(t, run(2, "artifact", "pull", digest, "--to", to).errs, "is there already")
	run(0, "artifact", "pull", digest, "--tar", tar)
	require.Equal(t, digest+"\n", run(0, "artifact", "push", tar, "--quiet").out)
	require.Equal(t, digest+"\n", run(0, "artifact", "push", to, "--quiet").out)
	run(3, "artifact", "pull", digest, "--to", filepath.Join(out, "none"), "--tenant", "other")
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing half-made stays")
}

func TestWhatCannotBeServedIsStoredButNotRegistered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	folder := modelFiles(t)
	bare := phantom(t, h.url, "artifact", "push", filepath.Join(folder, "model.onnx"), "--quiet")
	require.Equal(t, 0, bare.status, bare)
	told := phantom(t, h.url, "artifact", "push", filepath.Join(folder, "model.onnx"))
	require.Contains(t, told.errs, "no version can be made of it: it has no signature.json and no golden.json; push the files together")
	require.NoError(t, os.Link(filepath.Join(folder, "model.onnx"), filepath.Join(folder, "iris.onnx")))
	named := phantom(t, h.url, "artifact", "push", filepath.Join(folder, "iris.onnx"), filepath.Join(folder, "signature.json"), filepath.Join(folder, "golden.json"))
	require.Contains(t, named.errs, "it has no model.onnx (call iris.onnx so); push")
	require.Contains(t, phantom(t, h.url, "artifact", "push", "--help").out, `golden.json     some rows`)
	require.Equal(t, 0, phantom(t, h.url, "model", "create", "digits").status)
	r := phantom(t, h.url, "model", "register", "digits", "--artifact", strings.TrimSpace(bare.out))
	require.Equal(t, 2, r.status, r)
	require.Contains(t, r.errs, "it has no signature.json and no golden.json. One tar holds model.onnx, signature.json and golden.json: `phantom artifact push --help` shows their forms")

	large := filepath.Join(folder, "large")
	require.NoError(t, os.WriteFile(large, make([]byte, 2<<20), 0o600))
	r = phantom(t, h.url, "artifact", "push", large)
	require.Equal(t, 2, r.status, r)
	require.Contains(t, r.errs, "at most 1048576 bytes")
}

// A server that says another digest than that of what was sent is not believed.
func TestAWrongDigestIsNoticed(t *testing.T) {
	t.Parallel()
	folder := modelFiles(t)
	wrong := "sha256:" + strings.Repeat("0", 64)
	s := newServer(t).saysText("POST /api/v1/artifacts", 201, `{"digest":"`+wrong+`","size":1}`).
		saysText("GET /api/v1/artifacts/"+wrong, 200, "something else")
	r := phantom(t, s.url, "artifact", "push", folder)
	require.Equal(t, 1, r.status, r)
	require.Contains(t, r.errs, "push again")
	to := filepath.Join(t.TempDir(), "x")
	for _, flag := range []string{"--to", "--tar"} {
		r = phantom(t, s.url, "artifact", "pull", wrong, flag, to)
		require.Equal(t, 1, r.status, r)
		require.Contains(t, r.errs, "pull again")
		require.NoFileExists(t, to)
		require.NoDirExists(t, to)
	}
}
