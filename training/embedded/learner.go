package embedded

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Adam's constants, from Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// hopeless is a mean cross-entropy that no training recovers from; guessing costs ln(classes), below 7.
const hopeless = 1e6

var errDiverged = errors.New("the training diverged: the loss or a gradient is no finite number; lower params.learning_rate")

// learner moves a state through its epochs. All that it depends on is in the task and the state, so it can
// be thrown away after any batch and made again from a checkpoint.
type learner struct {
	task     *task
	state    *state
	train    samples // scaled
	heldOut  samples // scaled
	net      network
	gradient []float32
	slopes   network // the gradient by layers
	work     *scratch
	order    []int // of the rows in the epoch that runs
}

func newLearner(t *task, s *state) *learner {
	scale := fit(t.train.rows)
	l := &learner{
		task: t, state: s, net: view(t.sizes, s.weights),
		train:    samples{scale.apply(t.train.rows), t.train.labels},
		heldOut:  samples{scale.apply(t.heldOut.rows), t.heldOut.labels},
		gradient: make([]float32, len(s.weights)),
		work:     newScratch(t.sizes, t.params.BatchSize, true),
	}
	l.slopes = view(t.sizes, l.gradient)
	l.shuffle()
	return l
}

// shuffle orders the rows of the epoch that runs by the seed and its number alone.
func (l *learner) shuffle() {
	source := rand.NewPCG(uint64(l.task.spec.Seed), uint64(l.state.epoch+1))
	l.order = rand.New(source).Perm(len(l.train.rows))
}

func (l *learner) done() bool { return l.state.epoch >= l.task.params.Epochs }

// batch learns from the next rows; it reports whether they were the last of the epoch.
func (l *learner) batch() (last bool) {
	size := l.task.params.BatchSize
	from := l.state.batch * size
	rows := l.order[from:min(from+size, len(l.order))]
	x := l.work.values[0][:0]
	for _, r := range rows {
		x = append(x, l.train.rows[r])
	}
	l.work.values[0] = x
	errs := l.work.errors[len(l.net)]
	for i, row := range l.net.forward(l.work) {
		l.judge(row, l.train.labels[rows[i]], errs[i], float32(len(rows)))
	}
	clear(l.gradient)
	l.net.backward(l.work, l.slopes)
	l.state.step++
	l.descend()
	l.state.batch++
	return from+size >= len(l.order)
}

// judge adds a row's loss and hit to the epoch's sums, and writes the loss's derivative by the scores. The
// scores become probabilities.
func (l *learner) judge(scores []float32, class int, errs []float32, rows float32) {
	if argmax(scores) == class {
		l.state.correct++
	}
	score := float64(scores[class])
	l.state.loss += softmax(scores) - score
	for c, probability := range scores {
		errs[c] = probability / rows
	}
	errs[class] -= 1 / rows
}

// descend moves the weights by the gradient.
func (l *learner) descend() {
	step := float64(l.state.step)
	rate := float32(l.task.params.LearningRate * math.Sqrt(1-math.Pow(beta2, step)) / (1 - math.Pow(beta1, step)))
	adam(rate, l.state.weights, l.state.first, l.state.second, l.gradient)
	if l.task.params.WeightDecay == 0 {
		return
	}
	keep := float32(1 - l.task.params.LearningRate*l.task.params.WeightDecay)
	for _, layer := range l.net {
		for i := range layer.w {
			layer.w[i] *= keep
		}
	}
}

// closeEpoch ends the epoch whose last batch was learned. A diverged state is an error, and is not to be
// kept.
func (l *learner) closeEpoch() (point, error) {
	s := l.state
	rows := float64(len(l.train.rows))
	p := point{
		epoch: s.epoch + 1, step: s.step, loss: s.loss / rows, accuracy: float64(s.correct) / rows,
		validation: accuracy(l.net, l.heldOut),
	}
	if !finite(p.loss) || p.loss > hopeless || !allFinite(s.weights) || !allFinite(s.second) {
		return point{}, fmt.Errorf("epoch %d: %w", p.epoch, errDiverged)
	}
	s.epoch, s.batch, s.loss, s.correct = p.epoch, 0, 0, 0
	s.points = append(s.points, p)
	l.shuffle()
	return p, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
