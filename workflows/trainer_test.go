package workflows_test

import (
	"context"
	"errors"
	"maps"
	"sync"

	"phantom/domain"
	"phantom/training"
)

// script is what the scripted trainer does, at the boundary where another process would.
type script struct {
	epochs     int
	accuracy   float64
	extra      map[string]float64 // more metrics of the evaluation
	failure    string             // the job fails with it after its epochs
	unreached  int                // how many submissions fail first
	holdsAfter int                // the job stands after this epoch until it is stopped; 0 never
	onHold     func()             // called once, when it stands
	onSubmit   func()             // called at each submission that arrives
}

// scripted is a trainer of one job at a time; it follows its script and proves that it stops.
type scripted struct {
	script
	mu      sync.Mutex
	held    sync.Once
	stopped chan struct{}
	orders  []training.Order
	keys    []string
	specs   []training.Spec
}

func newTrainer(s script) *scripted {
	if s.epochs == 0 {
		s.epochs = 3
	}
	if s.accuracy == 0 {
		s.accuracy = 0.97
	}
	return &scripted{script: s, stopped: make(chan struct{})}
}

func (t *scripted) Submit(_ context.Context, key string, spec training.Spec) (training.Handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unreached > 0 {
		t.unreached--
		return "", errors.New("submit: the trainer cannot be reached")
	}
	t.keys, t.specs = append(t.keys, key), append(t.specs, spec)
	if t.onSubmit != nil {
		t.onSubmit()
	}
	return training.Handle(key), nil
}

func (t *scripted) Observe(
	ctx context.Context, _ training.Handle, since training.Cursor,
) (training.Observation, error) {
	epochs := t.epochs
	if t.holdsAfter > 0 {
		epochs = t.holdsAfter
	}
	seen := training.Observation{
		State: training.Running, Epochs: t.epochs, Cursor: training.Cursor{Point: min(since.Point+1, epochs)},
	}
	if since.Point < epochs { // one epoch an answer
		epoch := since.Point + 1
		seen.Checkpoint = epoch
		seen.Points = []training.Point{{Epoch: epoch, Step: int64(epoch) * 10, Metrics: map[string]float64{
			"loss": 1 / float64(epoch), "accuracy": t.accuracy * float64(epoch) / float64(t.epochs),
		}}}
		return seen, nil
	}
	if t.holdsAfter > 0 {
		return t.hold(ctx, seen), nil
	}
	seen.State = training.Succeeded
	if t.failure != "" {
		seen.State, seen.Failure = training.Failed, t.failure
	}
	return seen, nil
}

// hold stands still until the job is stopped, or the observer's time is over.
func (t *scripted) hold(ctx context.Context, seen training.Observation) training.Observation {
	t.held.Do(func() {
		if t.onHold != nil {
			t.onHold()
		}
	})
	select {
	case <-t.stopped:
		seen.State = training.Stopped
	case <-ctx.Done():
	}
	return seen
}

func (t *scripted) Signal(_ context.Context, _ training.Handle, order training.Order) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orders = append(t.orders, order)
	if order == training.Checkpoint {
		return nil
	}
	select {
	case <-t.stopped:
	default:
		close(t.stopped)
	}
	return nil
}

func (t *scripted) Collect(context.Context, training.Handle) (training.Outcome, error) {
	metrics := map[string]float64{"accuracy": t.accuracy}
	maps.Copy(metrics, t.extra)
	return training.Outcome{
		Artifact: digest, Metrics: map[string]float64{"loss": 0.1}, CodeDigest: "sha256:code", Rows: 1438,
		Signature: domain.Signature{
			Inputs:  []domain.Tensor{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 64}}},
			Outputs: []domain.Tensor{{Name: "probabilities", Datatype: "FP32", Shape: []int64{-1, 2}}},
		},
		Evaluation: training.Evaluation{
			Metrics: metrics, ConfusionMatrix: [][]int64{{180, 2}, {3, 174}}, Labels: []string{"0", "1"}, Rows: 359,
		},
	}, nil
}

func (t *scripted) Forget(context.Context, training.Handle) error { return nil }

func (t *scripted) given() []training.Order {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]training.Order(nil), t.orders...)
}

var _ training.Trainer = (*scripted)(nil)
