package embedded

import "math"

// The loops where the time goes. Each product is converted to float32, which the language defines as a
// rounding: no compiler may fuse it with the sum, so the bits are the same with and without FMA. Each sum
// has one fixed order, so a row's result does not depend on the rows beside it.

// dot returns the inner product of two vectors of one length.
//
//go:norace
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var sum float32
	for i, v := range a {
		sum += float32(v * b[i])
	}
	return sum
}

// dot4 returns the inner products of a with four vectors; each has the bits that dot gives.
//
//go:norace
func dot4(a, b0, b1, b2, b3 []float32) (s0, s1, s2, s3 float32) {
	b0, b1, b2, b3 = b0[:len(a)], b1[:len(a)], b2[:len(a)], b3[:len(a)]
	for i, v := range a {
		s0 += float32(v * b0[i])
		s1 += float32(v * b1[i])
		s2 += float32(v * b2[i])
		s3 += float32(v * b3[i])
	}
	return s0, s1, s2, s3
}

// axpy adds a multiple of x to dst.
//
//go:norace
func axpy(dst []float32, a float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += float32(a * x[i])
	}
}

// axpy4 adds multiples of four vectors to dst in one pass.
//
//go:norace
func axpy4(dst []float32, a [4]float32, x0, x1, x2, x3 []float32) {
	x0, x1, x2, x3 = x0[:len(dst)], x1[:len(dst)], x2[:len(dst)], x3[:len(dst)]
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	for i := range dst {
		dst[i] += (float32(a0*x0[i]) + float32(a1*x1[i])) + (float32(a2*x2[i]) + float32(a3*x3[i]))
	}
}

// relu sets what is negative to zero.
//
//go:norace
func relu(row []float32) {
	for i, v := range row {
		if v < 0 {
			row[i] = 0
		}
	}
}

// mask sets dst to zero where the values of a relu are.
//
//go:norace
func mask(dst, values []float32) {
	dst = dst[:len(values)]
	for i, v := range values {
		if v <= 0 {
			dst[i] = 0
		}
	}
}

// adam moves w against the gradient g, where m and v are the running means of g and of its square.
//
//go:norace
func adam(rate float32, w, m, v, g []float32) {
	w, m, v = w[:len(g)], m[:len(g)], v[:len(g)]
	for i, slope := range g {
		m[i] = float32(beta1*m[i]) + float32((1-beta1)*slope)
		v[i] = float32(beta2*v[i]) + float32(float32((1-beta2)*slope)*slope)
		w[i] -= float32(rate * (m[i] / (float32(math.Sqrt(float64(v[i]))) + epsilon)))
	}
}

// allFinite reports whether no value is NaN or infinite.
//
//go:norace
func allFinite(vector []float32) bool {
	for _, v := range vector {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// exponential returns e**x for x <= 0 with a relative error below 2e-7: x = n ln 2 + r, and the polynomial
// of Cephes' expf for r. math.Exp chooses its instructions by the processor, so its bits differ.
//
//go:norace
func exponential(x float32) float32 {
	const (
		log2e  = 1.44269504088896341
		ln2Hi  = 0.693359375
		ln2Lo  = -2.12194440e-4
		lowest = -87 // below, the result would not be a normal number
	)
	if x < lowest {
		return 0
	}
	n := float32(math.Floor(float64(float32(x*log2e) + 0.5)))
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(1.9875691500e-4)
	for _, c := range [...]float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		p = float32(p*r) + c
	}
	p = float32(float32(p*r)*r) + r + 1
	return float32(p * math.Float32frombits(uint32(int32(n)+127)<<23))
}
