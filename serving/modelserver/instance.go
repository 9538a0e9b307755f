package modelserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"

	"go.uber.org/zap"

	"phantom/artifact"
	"phantom/domain"
	"phantom/serving/oip"
)

// maxOverdue is how many inferences of a model may hang before it is taken for broken.
const maxOverdue = 3

// instance is a loaded model. It is freed when its last reference is released; the server holds one while
// the model is loaded and each running inference holds another, because the engine crashes when it is
// freed while it computes.
type instance struct {
	name    string
	digest  [sha256.Size]byte
	engine  *engine
	outputs []domain.Tensor // of the engine
	labels  []string        // class names of the first output; nil when it does not classify
	meta    oip.ModelMetadata
	refs    atomic.Int64
	slots   chan struct{} // bounds what runs at once
	overdue atomic.Int32
}

func (i *instance) release() {
	if i != nil && i.refs.Add(-1) == 0 {
		i.engine.free()
	}
}

// build makes a proven model of the files in the repository, or returns the one that is loaded from the
// same files already. What is wrong with the model is a 400.
func (s *Server) build(ctx context.Context, name string) (*instance, error) {
	read, err := s.readBundle(name)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	current := s.loaded[name]
	s.mu.RUnlock()
	if current != nil && current.digest == read.digest {
		return current, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.params.LoadTimeout)
	defer cancel()
	made := make(chan *instance, 1)
	err = s.work.run(ctx, func() error {
		fresh, err := s.assemble(name, read)
		if err == nil {
			made <- fresh
		}
		return err
	}, func() {
		if ctx.Err() == nil {
			return
		}
		select { // nobody waits any more
		case late := <-made:
			late.release()
		default:
		}
	})
	if err == nil {
		select {
		case fresh := <-made:
			return fresh, nil
		default:
			err = errOverdue
		}
	}
	if errors.Is(err, errOverdue) || errors.Is(err, errStopped) {
		return nil, oip.Errorf(http.StatusServiceUnavailable, "model %s was not loaded: %s", name, err)
	}
	s.params.Log.Warn("a model is refused", zap.String("model", name), zap.Error(err))
	return nil, oip.Errorf(http.StatusBadRequest, "model %s is refused: %s", name, err)
}

// assemble admits, compiles and proves. It may panic.
func (s *Server) assemble(name string, read *bundle) (*instance, error) {
	model, err := admit(read.model, read.signature)
	if err != nil {
		return nil, err
	}
	first := read.signature.Outputs[0]
	if _, classes := dimensions(first); read.labels != nil && len(read.labels) != classes {
		return nil, fmt.Errorf("labels.json has %d class names, output %q %d", len(read.labels), first.Name, classes)
	}
	computing, err := compile(model, read.signature, s.params.MaxBatch)
	if err != nil {
		return nil, err
	}
	if err := caught(func() error { return prove(computing, read.golden) }); err != nil {
		computing.free()
		return nil, err
	}
	fresh := &instance{
		name: name, digest: read.digest, engine: computing, outputs: read.signature.Outputs, labels: read.labels,
		meta: describe(name, read), slots: make(chan struct{}, slots()),
	}
	fresh.refs.Store(1)
	return fresh, nil
}

func describe(name string, read *bundle) oip.ModelMetadata {
	outputs := append([]domain.Tensor{}, read.signature.Outputs...)
	if read.labels != nil {
		outputs = append(outputs,
			domain.Tensor{Name: oip.Label, Datatype: oip.Bytes, Shape: []int64{-1}},
			domain.Tensor{Name: oip.Confidence, Datatype: oip.FP32, Shape: []int64{-1}})
	}
	return oip.ModelMetadata{
		Name: name, Versions: []string{onlyVersion}, Platform: "onnx_gomlx",
		Inputs: read.signature.Inputs, Outputs: outputs,
	}
}

// prove runs the golden rows at every batch size that will ever be used, which compiles them all, and
// refuses a model whose first output is not what the trained one gave.
func prove(computing *engine, golden artifact.Golden) error {
	if len(golden.Inputs) == 0 || len(golden.Inputs) != len(golden.Outputs) {
		return fmt.Errorf("golden.json has %d inputs and %d outputs", len(golden.Inputs), len(golden.Outputs))
	}
	if !(golden.Tolerance >= 0) || math.IsInf(golden.Tolerance, 0) {
		return fmt.Errorf("golden.json: tolerance %g is no limit", golden.Tolerance)
	}
	for row := range golden.Inputs {
		if len(golden.Inputs[row]) != computing.rowIn || len(golden.Outputs[row]) != computing.rowOut[0] {
			return fmt.Errorf("golden.json: row %d has %d inputs and %d outputs, the model %d and %d", row,
				len(golden.Inputs[row]), len(golden.Outputs[row]), computing.rowIn, computing.rowOut[0])
		}
	}
	for batch := 1; batch <= computing.maxBatch; batch *= 2 {
		rows := max(batch, len(golden.Inputs)) // a small batch is tried with each row
		for first := 0; first < rows; first += batch {
			if err := proveBatch(computing, golden, first, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

func proveBatch(computing *engine, golden artifact.Golden, first, batch int) error {
	values := make([]float32, 0, batch*computing.rowIn)
	for row := range batch {
		values = append(values, golden.Inputs[(first+row)%len(golden.Inputs)]...)
	}
	outputs, err := computing.run(values)
	if err != nil {
		return err
	}
	width := computing.rowOut[0]
	for i, got := range outputs[0] {
		row := (first + i/width) % len(golden.Inputs)
		want := golden.Outputs[row][i%width]
		if difference := math.Abs(float64(got) - float64(want)); !(difference <= golden.Tolerance) {
			return fmt.Errorf("the golden test differs: row %d value %d is %g, it should be %g within %g",
				row, i%width, got, want, golden.Tolerance)
		}
	}
	return nil
}
