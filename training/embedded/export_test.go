package embedded

// Exponential lets the tests hold the trainer's own e**x against the mathematical one.
func Exponential(x float32) float32 { return exponential(x) }

// Gradient returns the mean loss of a batch and its derivative by each parameter.
func Gradient(sizes []int, weights []float32, rows [][]float32, labels []int) (float64, []float32) {
	t := &task{sizes: sizes, params: params{BatchSize: len(rows)}}
	l := &learner{
		task: t, state: &state{weights: weights, first: make([]float32, len(weights)), second: make([]float32, len(weights))},
		net: view(sizes, weights), train: samples{rows, labels}, gradient: make([]float32, len(weights)),
		work: newScratch(sizes, len(rows), true),
	}
	l.slopes = view(sizes, l.gradient)
	for i := range rows {
		l.order = append(l.order, i)
	}
	l.batch() // its learning rate is 0
	return l.state.loss / float64(len(rows)), l.gradient
}

// Parameters is how many a network of these layers has.
func Parameters(sizes []int) int { return parameters(sizes) }
