package embedded

import (
	"math"
	"math/rand/v2"
	"slices"
)

// layer is a view of its part of the parameters. The weights of output o are w[o*in : (o+1)*in].
type layer struct {
	in, out int
	w, b    []float32
}

// network computes class probabilities: relu between the layers, softmax after the last.
type network []layer

func parameters(sizes []int) int {
	n := 0
	for i := range len(sizes) - 1 {
		n += (sizes[i] + 1) * sizes[i+1]
	}
	return n
}

// view lays a network over its parameters.
func view(sizes []int, flat []float32) network {
	layers := make(network, len(sizes)-1)
	for i := range layers {
		in, out := sizes[i], sizes[i+1]
		layers[i] = layer{in: in, out: out, w: flat[:in*out], b: flat[in*out : (in+1)*out]}
		flat = flat[(in+1)*out:]
	}
	return layers
}

// initial draws the parameters that training starts from: He's uniform distribution for layers that a
// relu follows, zero for biases; all zero when there is but one layer, whose loss is convex.
func initial(sizes []int, seed int64) []float32 {
	flat := make([]float32, parameters(sizes))
	if len(sizes) == 2 {
		return flat
	}
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for _, l := range view(sizes, flat) {
		bound := math.Sqrt(6 / float64(l.in))
		for i := range l.w {
			l.w[i] = float32((2*random.Float64() - 1) * bound)
		}
	}
	return flat
}

// scratch holds the values of a batch at each layer, row by row; 0 is the input.
type scratch struct {
	values [][][]float32
	errors [][][]float32 // the loss's derivative at the same places, when learning
}

func newScratch(sizes []int, batch int, learning bool) *scratch {
	s := &scratch{values: make([][][]float32, len(sizes)), errors: make([][][]float32, len(sizes))}
	s.values[0] = make([][]float32, 0, batch)
	for i, width := range sizes[1:] {
		s.values[i+1] = matrix(batch, width)
		if learning {
			s.errors[i+1] = matrix(batch, width)
		}
	}
	return s
}

func matrix(rows, width int) [][]float32 {
	flat := make([]float32, rows*width)
	m := make([][]float32, rows)
	for i := range m {
		m[i] = flat[i*width : (i+1)*width]
	}
	return m
}

// forward takes the rows in s.values[0] and returns the scores of their classes, for softmax to turn into
// probabilities; they are overwritten by the next call.
func (n network) forward(s *scratch) [][]float32 {
	rows := len(s.values[0])
	for i, l := range n {
		l.forward(s.values[i][:rows], s.values[i+1][:rows])
		if i < len(n)-1 {
			for _, row := range s.values[i+1][:rows] {
				relu(row)
			}
		}
	}
	return s.values[len(n)][:rows]
}

func (l layer) forward(x, z [][]float32) {
	for o := range l.out {
		w := l.w[o*l.in : (o+1)*l.in]
		s := 0
		for ; s+4 <= len(x); s += 4 {
			d0, d1, d2, d3 := dot4(w, x[s], x[s+1], x[s+2], x[s+3])
			z[s][o], z[s+1][o], z[s+2][o], z[s+3][o] = d0+l.b[o], d1+l.b[o], d2+l.b[o], d3+l.b[o]
		}
		for ; s < len(x); s++ {
			z[s][o] = dot(w, x[s]) + l.b[o]
		}
	}
}

// backward turns the errors at the last layer into the gradient of all parameters, which it adds to.
func (n network) backward(s *scratch, gradient network) {
	rows := len(s.values[0])
	for i, l := range slices.Backward(n) {
		dz := s.errors[i+1][:rows]
		gradient[i].accumulate(s.values[i][:rows], dz)
		if i == 0 {
			return
		}
		dx := s.errors[i][:rows]
		l.propagate(dz, dx)
		for r, row := range s.values[i][:rows] {
			mask(dx[r], row)
		}
	}
}

// accumulate adds dz'x to the weights and the sum of dz to the biases of a gradient's layer.
func (l layer) accumulate(x, dz [][]float32) {
	for o := range l.out {
		dw := l.w[o*l.in : (o+1)*l.in]
		s := 0
		for ; s+4 <= len(x); s += 4 {
			a := [4]float32{dz[s][o], dz[s+1][o], dz[s+2][o], dz[s+3][o]}
			l.b[o] += (a[0] + a[1]) + (a[2] + a[3])
			if a != [4]float32{} {
				axpy4(dw, a, x[s], x[s+1], x[s+2], x[s+3])
			}
		}
		for ; s < len(x); s++ {
			l.b[o] += dz[s][o]
			axpy(dw, dz[s][o], x[s])
		}
	}
}

// propagate sets dx to dz w.
func (l layer) propagate(dz, dx [][]float32) {
	for s, d := range dz {
		clear(dx[s])
		o := 0
		for ; o+4 <= l.out; o += 4 {
			a := [4]float32{d[o], d[o+1], d[o+2], d[o+3]}
			if a != [4]float32{} {
				w := l.w[o*l.in : (o+4)*l.in]
				axpy4(dx[s], a, w[:l.in], w[l.in:2*l.in], w[2*l.in:3*l.in], w[3*l.in:])
			}
		}
		for ; o < l.out; o++ {
			axpy(dx[s], d[o], l.w[o*l.in:(o+1)*l.in])
		}
	}
}

// softmax replaces scores by probabilities; it returns the logarithm of the sum of the scores' exponentials.
func softmax(row []float32) float64 {
	largest := row[0]
	for _, v := range row {
		largest = max(largest, v)
	}
	var sum float32
	for i, v := range row {
		row[i] = exponential(v - largest)
		sum += row[i]
	}
	for i := range row {
		row[i] /= sum
	}
	return float64(largest) + math.Log(float64(sum))
}

func argmax(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
