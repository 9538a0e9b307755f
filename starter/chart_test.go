package main_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	main "phantom/starter"
)

func TestSparklinesAndBars(t *testing.T) {
	t.Parallel()
	require.Equal(t, "▁▂▅█", main.Sparkline([]float64{0, 1, 4, 7}, 0))
	require.Equal(t, "▁▁", main.Sparkline([]float64{0, 0}, 0))
	require.Equal(t, "▁█", main.Sparkline([]float64{0.97, 0.98}, 0.97))
	require.Empty(t, main.Sparkline(nil, 0))
	require.Equal(t, []float64{3, 7, 11}, main.Squeezed([]float64{1, 2, 3, 4, 5, 6}, 3))
	require.Equal(t, []float64{3, 3}, main.Squeezed([]float64{1, 2, 3}, 2))
	require.Equal(t, []float64{1, 2}, main.Squeezed([]float64{1, 2}, 3))
	require.Equal(t, "██", main.Bar(5, 5, 2))
	require.Equal(t, "█▌", main.Bar(3, 4, 2))
	require.Equal(t, "▏", main.Bar(1, 1_000_000, 2), "what is there is seen")
	require.Empty(t, main.Bar(0, 5, 2))
	require.Empty(t, main.Bar(0, 0, 2))
}
