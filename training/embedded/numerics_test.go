package embedded_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/training/embedded"
)

func TestExponential(t *testing.T) {
	t.Parallel()
	for x := float32(-86.9); x <= 0; x += 0.00137 {
		want := math.Exp(float64(x))
		require.InEpsilon(t, want, float64(embedded.Exponential(x)), 2e-7, "e**%v", x)
	}
	require.InDelta(t, 1, embedded.Exponential(0), 0)
	require.Zero(t, embedded.Exponential(-88))
	require.Zero(t, embedded.Exponential(float32(math.Inf(-1))))
	require.True(t, math.IsNaN(float64(embedded.Exponential(float32(math.NaN())))), "a NaN is not hidden")
}

// The gradient that backpropagation computes is the slope of the loss, for layers and batches that fill the
// four-wide loops and that do not.
func TestGradient(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, sizes := range [][]int{{3, 2}, {5, 4, 3}, {3, 5, 9, 4}} {
		for _, batch := range []int{1, 4, 7} {
			weights := uniform(random, embedded.Parameters(sizes))
			var rows [][]float32
			var labels []int
			for range batch {
				rows = append(rows, uniform(random, sizes[0]))
				labels = append(labels, random.IntN(sizes[len(sizes)-1]))
			}
			_, gradient := embedded.Gradient(sizes, weights, rows, labels)
			for i := range weights {
				const h = 1.0 / 512
				moved := func(by float32) float64 {
					w := slices.Clone(weights)
					w[i] += by
					loss, _ := embedded.Gradient(sizes, w, rows, labels)
					return loss
				}
				slope := (moved(h) - moved(-h)) / (2 * h)
				require.InDelta(t, slope, gradient[i], 2e-3, "layers %v, batch %d, parameter %d", sizes, batch, i)
			}
		}
	}
}

func uniform(random *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(2*random.Float64() - 1)
	}
	return v
}
