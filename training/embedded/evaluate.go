package embedded

import "phantom/training"

// evaluationBatch is how many rows are held against a network at a time.
const evaluationBatch = 64

// predict returns a network's class probabilities, a row each.
func predict(n network, rows [][]float32) [][]float32 {
	sizes := []int{n[0].in}
	for _, l := range n {
		sizes = append(sizes, l.out)
	}
	work := newScratch(sizes, evaluationBatch, false)
	out := matrix(len(rows), sizes[len(sizes)-1])
	for from := 0; from < len(rows); from += evaluationBatch {
		to := min(from+evaluationBatch, len(rows))
		work.values[0] = rows[from:to]
		for i, scores := range n.forward(work) {
			softmax(scores)
			copy(out[from+i], scores)
		}
	}
	return out
}

func accuracy(n network, s samples) float64 {
	hits := 0
	for i, row := range predict(n, s.rows) {
		if argmax(row) == s.labels[i] {
			hits++
		}
	}
	return float64(hits) / float64(len(s.rows))
}

// evaluate holds a network against rows whose classes are known.
func evaluate(n network, s samples, classes []string) training.Evaluation {
	confusion := make([][]int64, len(classes))
	for i := range confusion {
		confusion[i] = make([]int64, len(classes))
	}
	for i, row := range predict(n, s.rows) {
		confusion[s.labels[i]][argmax(row)]++
	}
	return training.Evaluation{
		Metrics: training.Measure(confusion), ConfusionMatrix: confusion, Labels: classes, Rows: int64(len(s.rows)),
	}
}
