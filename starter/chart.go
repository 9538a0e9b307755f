package main

import (
	"math"
	"strings"
)

// sparkline draws values as a line of blocks, from zero to the greatest. More values than columns are summed
// where they share one; NaN is a gap.
func sparkline(values []float64, columns int) string {
	values = squeezed(values, columns)
	greatest := 0.0
	for _, v := range values {
		if v > greatest {
			greatest = v
		}
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var line strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			line.WriteByte(' ')
		case greatest == 0 || v <= 0:
			line.WriteRune(blocks[0])
		default:
			line.WriteRune(blocks[int(math.Round(v/greatest*float64(len(blocks)-1)))])
		}
	}
	return line.String()
}

// squeezed sums neighbours so that at most columns values are left.
func squeezed(values []float64, columns int) []float64 {
	if columns < 1 || len(values) <= columns {
		return values
	}
	sums := make([]float64, columns)
	for i, v := range values {
		sums[i*columns/len(values)] += v
	}
	return sums
}

// bar is a horizontal bar of a value between 0 and the greatest, in eighths of a column.
func bar(value, greatest float64, columns int) string {
	if greatest <= 0 || value <= 0 {
		return ""
	}
	eighths := int(math.Ceil(min(value/greatest, 1) * float64(columns) * 8))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}
