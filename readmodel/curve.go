package readmodel

import "math"

// thinned keeps so many points of a curve, at least 2 (0: all), that it looks the same: both ends, and of each of
// most-2 stretches of equal length the point that makes the largest triangle with the one kept before it and the
// middle of the next stretch. So a spike stays, which taking every n-th point would lose. Largest-Triangle-Three-
// Buckets: Steinarsson, Downsampling Time Series for Visual Representation, 2013, section 4.2.
func thinned(points []Point, most int) []Point {
	if most <= 0 || len(points) <= most {
		return points
	}
	inner := len(points) - 2
	bound := func(stretch int) int { return 1 + stretch*inner/max(most-2, 1) } // the first point of a stretch
	kept := make([]Point, 0, most)
	kept = append(kept, points[0])
	at := 0
	for stretch := range most - 2 {
		from, to := bound(stretch), bound(stretch+1)
		next := points[to:min(max(bound(stretch+2), to+1), len(points))]
		x, y := middle(to, next)
		best := -1.0
		chosen := from
		for i := from; i < to; i++ {
			if area := triangle(at, points[at].Value, i, points[i].Value, x, y); area > best {
				best, chosen = area, i
			}
		}
		kept = append(kept, points[chosen])
		at = chosen
	}
	return append(kept, points[len(points)-1])
}

// middle is the mean point of some that begin at an index.
func middle(from int, points []Point) (x, y float64) {
	for _, point := range points {
		y += point.Value / float64(len(points))
	}
	return float64(from) + float64(len(points)-1)/2, y
}

// triangle is twice the area of a triangle; points are as far from another as their indices.
func triangle(ax int, ay float64, bx int, by, cx, cy float64) float64 {
	return math.Abs((float64(ax)-cx)*(by-ay) - (float64(ax)-float64(bx))*(cy-ay))
}
