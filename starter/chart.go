package main

import (
	"math"
	"os"
	"strings"

	"golang.org/x/term"
)

// charted tells whether curves and bars are drawn: for a person at a terminal. Elsewhere there are numbers.
func (p *program) charted() bool { return terminal(p.out) || p.forceLive }

// width is the terminal's, in cells; 80 where nothing tells.
func (p *program) width() int {
	if file, ok := p.out.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 1 {
			return columns
		}
	}
	return 80
}

// sparkline draws values as a line of blocks, of at most so many cells, from the least to the greatest. What is
// unknown (NaN) is a gap; several values that share a cell show their mean.
func sparkline(values []float64, cells int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	values = shrunk(values, cells)
	least, most := math.Inf(1), math.Inf(-1)
	for _, value := range values {
		if !math.IsNaN(value) {
			least, most = min(least, value), max(most, value)
		}
	}
	var line strings.Builder
	for _, value := range values {
		switch {
		case math.IsNaN(value):
			line.WriteRune(' ')
		case most == least:
			line.WriteRune(levels[len(levels)/2])
		default: // halves, because the whole span may overflow
			line.WriteRune(levels[int((value/2-least/2)/(most/2-least/2)*float64(len(levels)-1)+0.5)])
		}
	}
	return line.String()
}

// shrunk are at most so many values, each the mean of its neighbours that are known.
func shrunk(values []float64, most int) []float64 {
	if most < 1 || len(values) <= most {
		return values
	}
	fewer := make([]float64, most)
	for i := range fewer {
		sum, known := 0.0, 0.0
		for _, value := range values[i*len(values)/most : (i+1)*len(values)/most] {
			if !math.IsNaN(value) {
				sum, known = sum+value, known+1
			}
		}
		fewer[i] = sum / known // NaN where none is known
	}
	return fewer
}

// bar draws a share, 0 to 1, over so many cells.
func bar(share float64, cells int) string {
	done := int(math.Round(min(max(share, 0), 1) * float64(cells)))
	return strings.Repeat("█", done) + strings.Repeat("░", cells-done)
}
