package embedded

import "math"

// scale standardises features: (x - mean) * inverse, where inverse is 1/deviation, or 0 for a feature
// that is the same in all rows.
type scale struct{ mean, inverse []float64 }

// fit learns the scale from rows, of which there is at least one.
func fit(rows [][]float32) scale {
	width := len(rows[0])
	s := scale{mean: make([]float64, width), inverse: make([]float64, width)}
	n := float64(len(rows))
	for _, row := range rows {
		for i, v := range row {
			s.mean[i] += float64(v) / n
		}
	}
	for _, row := range rows {
		for i, v := range row {
			d := float64(v) - s.mean[i]
			s.inverse[i] += float64(d*d) / n
		}
	}
	for i, variance := range s.inverse {
		deviation := math.Sqrt(variance)
		s.inverse[i] = 0
		if deviation > 1e-7*math.Abs(s.mean[i]) { // less is rounding
			s.inverse[i] = 1 / deviation
		}
	}
	return s
}

func (s scale) apply(rows [][]float32) [][]float32 {
	scaled := matrix(len(rows), len(s.mean))
	for r, row := range rows {
		for i, v := range row {
			scaled[r][i] = float32((float64(v) - s.mean[i]) * s.inverse[i])
		}
	}
	return scaled
}

// fold returns the network that takes unscaled features and gives what n gives for scaled ones.
func (s scale) fold(sizes []int, n network) network {
	folded := view(sizes, make([]float32, parameters(sizes)))
	for i, l := range n {
		copy(folded[i].w, l.w)
		copy(folded[i].b, l.b)
	}
	first := folded[0]
	for o := range first.out {
		w := first.w[o*first.in : (o+1)*first.in]
		bias := float64(first.b[o])
		for i, v := range w {
			scaled := float64(v) * s.inverse[i]
			bias -= float64(scaled * s.mean[i])
			w[i] = float32(scaled)
		}
		first.b[o] = float32(bias)
	}
	return folded
}
