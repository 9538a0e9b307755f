package embedded_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/training"
)

// The specs of the main job: A is accepted, and B is above A's figure, which examples/digits/README.md
// gives; A itself trains too long for a test, and the main job checks it.
func TestSpecsOfTheMainJob(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	read := func(name string) training.Spec {
		body, err := os.ReadFile("../../examples/digits/" + name)
		require.NoError(t, err)
		spec := training.Spec{Train: d.data}
		require.NoError(t, json.Unmarshal(body, &spec))
		return spec
	}
	a := submit(t, trainer, "a", read("train_a.json"))
	require.NoError(t, trainer.Signal(t.Context(), a, training.Kill))
	b := collect(t, trainer, submit(t, trainer, "b", read("train_b.json")))
	require.Greater(t, b.Evaluation.Metrics["accuracy"], 0.97)
	c := collect(t, trainer, submit(t, trainer, "c", read("train_c.json")))
	require.Greater(t, c.Evaluation.Metrics["accuracy"], 0.95)
}
