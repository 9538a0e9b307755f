package training_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/training"
)

// The figures are those of scikit-learn 1.9 (average="macro", zero_division=0) for the same matrix: a class
// that is never predicted, and one that does not occur at all.
func TestMeasure(t *testing.T) {
	t.Parallel()
	got := training.Measure([][]int64{{5, 1, 0, 0}, {2, 3, 0, 1}, {0, 0, 0, 0}, {0, 4, 0, 0}})
	require.InDelta(t, 0.5, got["accuracy"], 1e-12)
	require.InDelta(t, 0.36309523809523814, got["precision"], 1e-12)
	require.InDelta(t, 0.4444444444444445, got["recall"], 1e-12)
	require.InDelta(t, 0.39926739926739924, got["f1"], 1e-12)

	require.Equal(t, map[string]float64{"accuracy": 1, "precision": 1, "recall": 1, "f1": 1},
		training.Measure([][]int64{{3, 0}, {0, 4}}))
	require.Equal(t, map[string]float64{"accuracy": 0, "precision": 0, "recall": 0, "f1": 0},
		training.Measure([][]int64{{0, 3}, {4, 0}}))
}
