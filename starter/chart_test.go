package main_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	main "phantom/starter"
)

func TestSparklines(t *testing.T) {
	t.Parallel()
	gap := math.NaN()
	for _, c := range []struct {
		name   string
		values []float64
		cells  int
		drawn  string
	}{
		{"from the least to the greatest", []float64{1, 2, 3, 4, 5, 6, 7, 8}, 80, "▁▂▃▄▅▆▇█"},
		{"fewer cells show means", []float64{0, 0, 4, 4, 8, 8}, 3, "▁▅█"},
		{"what is unknown is a gap", []float64{1, gap, 2}, 80, "▁ █"},
		{"a mean of what is known", []float64{0, gap, gap, gap, 9, gap}, 3, "▁ █"},
		{"nothing moves", []float64{3, 3}, 80, "▅▅"},
		{"nothing is known", []float64{gap}, 80, " "},
		{"nothing", nil, 80, ""},
		{"the whole range of numbers", []float64{-math.MaxFloat64, math.MaxFloat64}, 80, "▁█"},
	} {
		require.Equal(t, c.drawn, main.Sparkline(c.values, c.cells), c.name)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for share, drawn := range map[float64]string{0: "░░░░", 0.5: "██░░", 1: "████", 7: "████", -1: "░░░░"} {
		require.Equal(t, drawn, main.Bar(share, 4))
	}
}
