package target_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/artifact"
	"phantom/domain"
	"phantom/serving/modelserver"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
	"phantom/serving/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "default.insects.v1"

// local is a target with a real model server.
func local(t *testing.T) (*target.Target, string) {
	t.Helper()
	repository := t.TempDir()
	return drive(t, servingtest.ModelServer(t, repository, modelserver.Params{}), repository), repository
}

func drive(t *testing.T, url, repository string) *target.Target {
	t.Helper()
	made, err := target.New(target.Config{Name: "local", URL: url, Repository: "file://" + repository, Layout: target.Phantom})
	require.NoError(t, err)
	t.Cleanup(made.Close)
	return made
}

func TestLoadProvesAndUnloads(t *testing.T) {
	t.Parallel()
	driver, repository := local(t)
	files := servingtest.Bundle(t, "mlp")
	golden := servingtest.Golden(t, files)
	require.ErrorIs(t, driver.Ready(t.Context(), name), target.ErrRefused)
	for range 2 { // each call can be repeated
		require.NoError(t, driver.Load(t.Context(), name, files))
		require.NoError(t, driver.Ready(t.Context(), name))
		require.NoError(t, driver.Golden(t.Context(), name, golden))
		require.NoError(t, driver.CheckSignature(t.Context(), name, signature()))
	}
	for range 2 {
		require.NoError(t, driver.Unload(t.Context(), name))
		require.ErrorIs(t, driver.Ready(t.Context(), name), target.ErrRefused)
		require.Empty(t, models(t, repository))
	}
}

func signature() domain.Signature {
	return domain.Signature{
		Inputs:  []domain.Tensor{{Name: "x", Datatype: oip.FP32, Shape: []int64{-1, 4}}},
		Outputs: []domain.Tensor{{Name: oip.Probabilities, Datatype: oip.FP32, Shape: []int64{-1, 3}}},
	}
}

// models lists what a repository holds besides the server's own list.
func models(t *testing.T, repository string) []string {
	t.Helper()
	entries, err := os.ReadDir(repository)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		if entry.Name() != ".loaded.json" {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestABadModelIsRefusedForGood(t *testing.T) {
	t.Parallel()
	driver, _ := local(t)
	files := servingtest.Bundle(t, "mlp")
	for _, body := range [][]byte{nil, []byte("garbage"), files[0].Body[:200]} {
		err := driver.Load(t.Context(), name, servingtest.Replace(files, artifact.ModelFile, body))
		require.ErrorIs(t, err, target.ErrRefused)
		require.NotErrorIs(t, err, target.ErrUnavailable)
		require.ErrorContains(t, err, "load "+name+" at local")
	}
	require.NoError(t, driver.Load(t.Context(), name, files)) // the right files take the place of the bad ones

	golden := servingtest.Golden(t, files)
	golden.Outputs[1][0] += 0.1
	require.ErrorIs(t, driver.Golden(t.Context(), name, golden), target.ErrRefused)
	require.ErrorContains(t, driver.Golden(t.Context(), name, golden), "row 1 value 0")
	require.ErrorIs(t, driver.Golden(t.Context(), name, artifact.Golden{}), target.ErrRefused)

	other := signature()
	other.Inputs[0].Shape = []int64{-1, 5}
	require.ErrorIs(t, driver.CheckSignature(t.Context(), name, other), target.ErrRefused)
	other = signature()
	other.Outputs[0].Name = "scores"
	require.ErrorIs(t, driver.CheckSignature(t.Context(), name, other), target.ErrRefused)

	for _, bad := range []string{"", ".hidden", "a/b", `a\b`} {
		require.ErrorIs(t, driver.Load(t.Context(), bad, files), target.ErrRefused)
		require.ErrorIs(t, driver.Load(t.Context(), name, []artifact.File{{Name: "../x", Body: nil}}), target.ErrRefused)
	}
}

func TestAServerThatIsAwayIsTriedAgain(t *testing.T) {
	t.Parallel()
	files := servingtest.Bundle(t, "mlp")
	for status, want := range map[int]error{
		http.StatusInternalServerError: target.ErrUnavailable, http.StatusServiceUnavailable: target.ErrUnavailable,
		http.StatusTooManyRequests: target.ErrUnavailable, http.StatusBadRequest: target.ErrRefused,
		http.StatusUnprocessableEntity: target.ErrRefused, http.StatusNotFound: target.ErrRefused,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		driver := drive(t, server.URL, t.TempDir())
		require.ErrorIs(t, driver.Load(t.Context(), name, files), want)
		server.Close()
		require.ErrorIs(t, driver.Load(t.Context(), name, files), target.ErrUnavailable)
		require.ErrorIs(t, driver.Unload(t.Context(), name), target.ErrUnavailable)
	}
}

func TestWhatACrashLeftIsSwept(t *testing.T) {
	t.Parallel()
	driver, repository := local(t)
	files := servingtest.Bundle(t, "mlp")
	for _, left := range []string{".new-" + name + "-123", ".old-" + name + "-"} {
		servingtest.Put(t, repository, left, files[:1])
	}
	servingtest.Put(t, repository, name, files[:1]) // written by somebody else, half of it
	servingtest.Put(t, repository, ".new-default.other.v1-7", files)
	require.NoError(t, driver.Load(t.Context(), name, files))
	require.ElementsMatch(t, []string{name, ".new-default.other.v1-7"}, models(t, repository))
	body, err := os.ReadFile(filepath.Join(repository, name, artifact.ModelFile))
	require.NoError(t, err)
	require.Equal(t, files[0].Body, body)
}

func TestARepositoryThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	driver := drive(t, "http://127.0.0.1:1", filepath.Join(file, "repository"))
	require.ErrorIs(t, driver.Load(t.Context(), name, servingtest.Bundle(t, "mlp")), target.ErrUnavailable)
}

func TestAConfigurationThatCannotWorkNamesItsField(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]target.Config{
		"name":                     {Name: "No", URL: "http://h", Repository: "/r"},
		"targets.local.url":        {Name: "local", URL: "h:1", Repository: "/r"},
		"targets.local.layout":     {Name: "local", URL: "http://h", Repository: "/r", Layout: "triton"},
		"targets.local.repository": {Name: "local", URL: "http://h", Repository: "s3://bucket"},
	} {
		_, err := target.New(config)
		var invalid *domain.InvalidInput
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
}
