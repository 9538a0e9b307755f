package workflows_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

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
	holdsAfter int                // the job stands after this epoch until it is released or stopped; 0 never
	onHold     func()             // called once, when it stands
	onSubmit   func()             // called at each submission that arrives
}

// scripted is a trainer of one job at a time; it follows its script and proves that it stops.
type scripted struct {
	script
	mu      sync.Mutex
	held    sync.Once
	release chan struct{} // closed by the test
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
	return &scripted{script: s, release: make(chan struct{}), stopped: make(chan struct{})}
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
	seen := training.Observation{State: training.Running, Epochs: t.epochs, Checkpoint: since.Point, Cursor: since}
	if since.Point == t.holdsAfter && t.holdsAfter > 0 && !t.hold(ctx) {
		select {
		case <-t.stopped:
			seen.State = training.Stopped
		default:
		}
		return seen, nil
	}
	if epoch := since.Point + 1; epoch <= t.epochs { // one epoch an answer
		seen.Cursor.Point, seen.Checkpoint = epoch, epoch
		seen.Points = []training.Point{{Epoch: epoch, Step: int64(epoch) * 10, Metrics: map[string]float64{
			"loss": 1 / float64(epoch), "accuracy": t.accuracy * float64(epoch) / float64(t.epochs),
		}}}
		return seen, nil
	}
	seen.State = training.Succeeded
	if t.failure != "" {
		seen.State, seen.Failure = training.Failed, t.failure
	}
	return seen, nil
}

// hold stands still, and tells whether the job goes on.
func (t *scripted) hold(ctx context.Context) bool {
	t.held.Do(func() {
		if t.onHold != nil {
			t.onHold()
		}
	})
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	select {
	case <-t.release:
		return true
	case <-t.stopped:
	case <-ctx.Done():
	}
	return false
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
