package modelserver_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/serving/modelserver"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
)

func TestAdmissionRefusesWhatWouldGoWrong(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	mlp := servingtest.Bundle(t, "mlp")
	whole := mlp[0].Body
	graph := func(name string) []byte {
		body, err := os.ReadFile(filepath.Join("testdata", "bad", name+".onnx"))
		require.NoError(t, err)
		return body
	}
	golden := servingtest.Golden(t, mlp)
	golden.Outputs[2][1] += 0.01
	wrong, err := json.Marshal(golden)
	require.NoError(t, err)
	golden.Outputs = golden.Outputs[:1]
	short, err := json.Marshal(golden)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		file string
		body []byte
		says string
	}{
		"beta":         {artifact.ModelFile, graph("beta"), "Gemm with beta = 0.5"},
		"alpha":        {artifact.ModelFile, graph("alpha"), "Gemm with alpha = 2"},
		"operator":     {artifact.ModelFile, graph("operator"), "operator Sigmoid is not supported"},
		"opset":        {artifact.ModelFile, graph("opset"), "opset 11"},
		"batch":        {artifact.ModelFile, graph("batch"), `input "x" has shape [1 4]`},
		"width":        {artifact.ModelFile, graph("width"), `input "x" has shape [-1 5]`},
		"output":       {artifact.ModelFile, graph("output"), `no output "probabilities"`},
		"huge":         {artifact.ModelFile, graph("huge"), `weight "w1" is too large`},
		"loop":         {artifact.ModelFile, graph("loop"), `uses "a" before it is computed`},
		"memory":       {artifact.ModelFile, graph("memory"), "more than 512 MiB"},
		"truncated":    {artifact.ModelFile, whole[:len(whole)/2], "cannot be read as an ONNX model"},
		"empty":        {artifact.ModelFile, nil, "cannot be read as an ONNX model"},
		"garbage":      {artifact.ModelFile, []byte("this is no model at all"), "cannot be read as an ONNX model"},
		"golden":       {artifact.GoldenFile, wrong, "golden test differs: row 2 value 1"},
		"few-golden":   {artifact.GoldenFile, short, "4 inputs and 1 outputs"},
		"no-golden":    {artifact.GoldenFile, []byte(`{}`), "0 inputs"},
		"bad-golden":   {artifact.GoldenFile, []byte(`{"inputs":`), "golden.json is damaged"},
		"tolerance":    {artifact.GoldenFile, []byte(`{"inputs":[[1,2,3,4]],"outputs":[[0,0,1]],"tolerance":-1}`), "is no limit"},
		"labels":       {artifact.LabelsFile, []byte(`["ant"]`), "labels.json has 1 class names"},
		"signature":    {artifact.SignatureFile, []byte(`{}`), "exactly one input"},
		"no-signature": {artifact.SignatureFile, []byte(`[`), "signature.json is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := h.load(t, name, servingtest.Replace(mlp, c.file, c.body))
			require.Equal(t, http.StatusBadRequest, answer.Status, string(answer.Body))
			require.Contains(t, refusal(t, answer), c.says)
			ready := h.get(t, "/v2/models/"+name+"/ready")
			require.Equal(t, http.StatusServiceUnavailable, ready.Status)
			require.Contains(t, refusal(t, ready), c.says)
		})
	}
}

func TestARefusedReplacementLeavesTheOldModelServing(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	mlp := servingtest.Bundle(t, "mlp")
	require.Equal(t, http.StatusOK, h.load(t, "m", mlp).Status)
	require.Equal(t, http.StatusBadRequest, h.load(t, "m", servingtest.Replace(mlp, artifact.ModelFile, []byte("x"))).Status)
	body := servingtest.Request(t, "", servingtest.Golden(t, mlp).Inputs)
	servingtest.Response(t, h.post(t, "/v2/models/m/infer", body))
}

func TestLoadAndUnloadCanBeRepeated(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	mlp := servingtest.Bundle(t, "mlp")
	require.Equal(t, http.StatusNotFound, h.post(t, "/v2/repository/models/m/load", nil).Status)
	require.Equal(t, http.StatusNotFound, h.post(t, "/v2/repository/models/..%2Fm/load", nil).Status)
	require.Equal(t, http.StatusOK, h.load(t, "m", mlp).Status)
	require.Equal(t, http.StatusOK, h.load(t, "m", mlp).Status)
	require.Equal(t, []oip.RepositoryModel{{Name: "m", Version: "1", State: oip.StateReady}}, h.index(t))
	require.Equal(t, http.StatusOK, h.post(t, "/v2/repository/models/m/unload", nil).Status)
	require.Equal(t, []oip.RepositoryModel{{Name: "m", State: oip.StateUnavailable, Reason: "not loaded"}}, h.index(t))
	require.Equal(t, http.StatusNotFound, h.post(t, "/v2/repository/models/m/unload", nil).Status)
	require.Equal(t, http.StatusNotFound, h.get(t, "/v2/models/m/ready").Status)
}

func TestARestartedServerServesWhatWasLoadedBeforeItSaysReady(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	client := servingtest.Client(t)
	first := &house{repository, servingtest.ModelServer(t, repository, modelserver.Params{}), client}
	mlp, regressor := servingtest.Bundle(t, "mlp"), servingtest.Bundle(t, "regressor")
	require.Equal(t, http.StatusOK, first.load(t, "a", mlp).Status)
	require.Equal(t, http.StatusOK, first.load(t, "b", regressor).Status)
	require.Equal(t, http.StatusOK, first.load(t, "gone", mlp).Status)
	require.Equal(t, http.StatusOK, first.post(t, "/v2/repository/models/gone/unload", nil).Status)

	// The first server is not closed: it died, so to say.
	server, err := modelserver.New(repository, modelserver.Params{})
	require.NoError(t, err)
	second := &house{repository, servingtest.Serve(t, server), client}
	require.Equal(t, http.StatusOK, second.get(t, "/v2/health/live").Status)
	for _, path := range []string{"/v2/health/ready", "/v2/models/a/ready"} {
		require.Equal(t, http.StatusServiceUnavailable, second.get(t, path).Status, path)
	}
	require.Equal(t, http.StatusServiceUnavailable, second.post(t, "/v2/repository/models/a/load", nil).Status)

	require.NoError(t, server.Recover(t.Context()))
	require.Equal(t, http.StatusOK, second.get(t, "/v2/health/ready").Status)
	body := servingtest.Request(t, "", servingtest.Golden(t, mlp).Inputs)
	servingtest.Response(t, second.post(t, "/v2/models/a/infer", body))
	servingtest.Response(t, second.post(t, "/v2/models/b/infer", body))
	require.Equal(t, http.StatusNotFound, second.get(t, "/v2/models/gone/ready").Status)
}

func TestABrokenModelDoesNotKeepTheOthersFromRecovering(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	client := servingtest.Client(t)
	first := &house{repository, servingtest.ModelServer(t, repository, modelserver.Params{}), client}
	mlp := servingtest.Bundle(t, "mlp")
	require.Equal(t, http.StatusOK, first.load(t, "broken", mlp).Status)
	require.Equal(t, http.StatusOK, first.load(t, "whole", mlp).Status)
	require.NoError(t, os.Truncate(filepath.Join(repository, "broken", artifact.ModelFile), 100))

	second := &house{repository, servingtest.ModelServer(t, repository, modelserver.Params{}), client}
	require.Equal(t, http.StatusOK, second.get(t, "/v2/models/whole/ready").Status)
	require.Contains(t, refusal(t, second.get(t, "/v2/models/broken/ready")), "cannot be read")
	// It stays on the list until it is unloaded, also when another model comes.
	require.Equal(t, http.StatusOK, second.load(t, "third", mlp).Status)
	third := &house{repository, servingtest.ModelServer(t, repository, modelserver.Params{}), client}
	require.Equal(t, http.StatusServiceUnavailable, third.get(t, "/v2/models/broken/ready").Status)
	require.Equal(t, http.StatusOK, third.post(t, "/v2/repository/models/broken/unload", nil).Status)
	require.Equal(t, http.StatusNotFound, third.get(t, "/v2/models/broken/ready").Status)
}

func TestADamagedListLoadsTheWholeRepository(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string][]byte{
		"garbage":   []byte("\x00\x01 nothing of ours"),
		"empty":     nil,
		"truncated": []byte("phantom-state 1 sha256:00"),
		"edited":    []byte("phantom-state 1 sha256:0f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945\n[]\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository := t.TempDir()
			servingtest.Put(t, repository, "m", servingtest.Bundle(t, "mlp"))
			require.NoError(t, os.WriteFile(filepath.Join(repository, ".loaded.json"), damage, 0o600))
			h := &house{repository, servingtest.ModelServer(t, repository, modelserver.Params{}), servingtest.Client(t)}
			require.Equal(t, http.StatusOK, h.get(t, "/v2/models/m/ready").Status)
		})
	}
}
