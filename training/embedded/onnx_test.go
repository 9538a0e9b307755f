package embedded_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/training"
)

// onnxruntime is pinned so that the test gives the same answer tomorrow.
const (
	onnxruntime = "onnxruntime==1.32.0"
	numpy       = "numpy==2.4.6"
)

// ONNX Runtime gives the probabilities that the trainer gives, to 1e-5, and so the same confusion matrix.
func TestONNXRuntimeAgrees(t *testing.T) {
	t.Parallel()
	python := environment(t)
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	table, err := training.Load(t.Context(), d.store, d.data)
	require.NoError(t, err)
	_, heldOut := training.Split(table)
	for _, c := range []struct {
		algorithm, params string
		batch             int
	}{
		{"mlp", `{}`, 1},
		{"mlp", `{"hidden":[7],"epochs":3}`, 3},
		{"mlp", `{"hidden":[33,16,8],"epochs":5}`, 64},
		{"logistic_regression", `{}`, len(heldOut.Rows)},
	} {
		outcome := collect(t, trainer, submit(t, trainer, c.algorithm+c.params, d.spec(c.algorithm, c.params)))
		files, err := d.store.GetBundle(t.Context(), outcome.Artifact)
		require.NoError(t, err)
		var golden artifact.Golden
		model := filepath.Join(t.TempDir(), artifact.ModelFile)
		for _, f := range files {
			switch f.Name {
			case artifact.ModelFile:
				require.NoError(t, os.WriteFile(model, f.Body, 0o600))
			case artifact.GoldenFile:
				require.NoError(t, json.Unmarshal(f.Body, &golden))
			}
		}
		confusion := make([][]int64, 10)
		for i := range confusion {
			confusion[i] = make([]int64, 10)
		}
		require.Equal(t, heldOut.Rows[:len(golden.Inputs)], golden.Inputs)
		for i, row := range run(t, python, model, c.batch, heldOut.Rows, 10) {
			if i < len(golden.Outputs) {
				require.InDeltaSlice(t, golden.Outputs[i], row, 1e-5, "%s, row %d", c.params, i)
			}
			truth, err := strconv.Atoi(heldOut.Labels[i])
			require.NoError(t, err)
			best := 0
			for class, p := range row {
				if p > row[best] {
					best = class
				}
			}
			confusion[truth][best]++
		}
		require.Equal(t, outcome.Evaluation.ConfusionMatrix, confusion)
	}
}

// run gives rows to a model in ONNX Runtime, batch at a time.
func run(t *testing.T, python, model string, batch int, rows [][]float32, classes int) [][]float32 {
	t.Helper()
	var in, out bytes.Buffer
	for _, row := range rows {
		require.NoError(t, binary.Write(&in, binary.LittleEndian, row))
	}
	child := exec.CommandContext(t.Context(), python, "testdata/run_onnx.py", model, strconv.Itoa(batch), strconv.Itoa(len(rows[0])))
	child.Stdin, child.Stdout, child.Stderr = &in, &out, os.Stderr
	require.NoError(t, child.Run())
	require.Equal(t, 4*classes*len(rows), out.Len())
	probabilities := make([][]float32, len(rows))
	for i := range probabilities {
		probabilities[i] = make([]float32, classes)
		require.NoError(t, binary.Read(&out, binary.LittleEndian, probabilities[i]))
	}
	return probabilities
}

// environment returns the Python of a virtual environment with ONNX Runtime in the user's cache folder. The
// first test on a machine makes it; a lock keeps others from making it at the same time.
func environment(t *testing.T) string {
	t.Helper()
	system, err := exec.LookPath("python3")
	require.NoError(t, err, "this test compares with ONNX Runtime: install python3 with its venv module")
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "phantom", "venv-"+onnxruntime)
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o750))
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer func() { require.NoError(t, lock.Close()) }()
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	require.NoError(t, err)
	python := filepath.Join(dir, "bin", "python")
	if exec.CommandContext(t.Context(), python, "-c", "import numpy, onnxruntime").Run() == nil {
		return python
	}
	require.NoError(t, os.RemoveAll(dir))
	for _, command := range [][]string{
		{system, "-m", "venv", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", onnxruntime, numpy},
	} {
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, "%q: %s", command, out)
	}
	return python
}
