package modelserver

import (
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	variables "github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/onnx-gomlx/onnx"

	"phantom/domain"
)

// maxMemory bounds what one execution of a model may hold, in bytes.
const maxMemory = 512 << 20

// engine computes one admitted model. Its batches are powers of two up to the largest, because each new
// batch size is compiled anew and their number is limited.
type engine struct {
	backend  backends.Backend
	weights  *variables.Context
	exec     *variables.Exec
	input    []int // the dimensions of a row
	rowIn    int   // values of a row
	rowOut   []int // values of a row of each output
	maxBatch int
}

// compile makes an engine; it may panic, and compiles a batch size only when it first runs (see prove).
func compile(model *onnx.Model, signature domain.Signature, maxBatch int) (*engine, error) {
	// The backend's other ways to run deadlock on wide graphs, and are slower on small ones.
	backend, err := simplego.New("ops_sequential")
	if err != nil {
		return nil, err
	}
	made := &engine{backend: backend, weights: variables.New(), maxBatch: maxBatch}
	input := signature.Inputs[0]
	made.input, made.rowIn = dimensions(input)
	names := make([]string, len(signature.Outputs))
	for i, output := range signature.Outputs {
		names[i] = output.Name
		_, width := dimensions(output)
		made.rowOut = append(made.rowOut, width)
	}
	if err := model.VariablesToContext(made.weights); err != nil {
		return nil, err
	}
	made.exec, err = variables.NewExec(backend, made.weights,
		func(weights *variables.Context, inputs []*graph.Node) []*graph.Node {
			given := map[string]*graph.Node{input.Name: inputs[0]}
			outputs := model.CallGraph(weights, inputs[0].Graph(), given, names...)
			bound(inputs[0].Graph())
			return outputs
		})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// bound panics, as everything that builds a graph does, when the graph would need too much memory.
func bound(built *graph.Graph) {
	var bytes uintptr
	for _, node := range built.Nodes() {
		if node.NumOutputs() == 1 {
			bytes += node.Shape().Memory()
		}
		if bytes > maxMemory {
			panic(fmt.Errorf("the model needs more than %d MiB for a batch", maxMemory>>20))
		}
	}
}

func dimensions(t domain.Tensor) (row []int, values int) {
	values = 1
	for _, dim := range t.Shape[1:] {
		row = append(row, int(dim))
		values *= int(dim)
	}
	return row, values
}

// run computes rows of values, in pieces of at most maxBatch, and returns the values of each output.
func (e *engine) run(values []float32) ([][]float32, error) {
	rows := len(values) / e.rowIn
	outputs := make([][]float32, len(e.rowOut))
	for i, width := range e.rowOut {
		outputs[i] = make([]float32, 0, rows*width)
	}
	for first := 0; first < rows; first += e.maxBatch {
		last := min(rows, first+e.maxBatch)
		if err := e.piece(values[first*e.rowIn:last*e.rowIn], last-first, outputs); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

// piece pads its rows to the next power of two, computes them and appends the answers without the padding.
func (e *engine) piece(values []float32, rows int, outputs [][]float32) error {
	batch := 1
	for batch < rows {
		batch *= 2
	}
	padded := values
	if batch > rows {
		padded = make([]float32, batch*e.rowIn)
		copy(padded, values)
	}
	input := tensors.FromFlatDataAndDimensions(padded, append([]int{batch}, e.input...)...)
	defer func() { _ = input.FinalizeAll() }() // It only hands the memory back.
	results, err := e.exec.Exec(input)
	if err != nil {
		return err
	}
	for i, result := range results {
		err = tensors.ConstFlatData(result, func(flat []float32) {
			if len(flat) == batch*e.rowOut[i] {
				outputs[i] = append(outputs[i], flat[:rows*e.rowOut[i]]...)
			}
		})
		// It only hands the memory back.
		_ = result.FinalizeAll()
		if err != nil {
			return err
		}
		if len(outputs[i])%e.rowOut[i] != 0 || len(outputs[i]) == 0 {
			return fmt.Errorf("output %d has another shape than the signature", i)
		}
	}
	return nil
}

// free gives the memory back; nothing may run any more.
func (e *engine) free() {
	// A panic here says only that the memory is gone already.
	_ = caught(func() error {
		e.exec.Finalize()
		e.weights.Finalize()
		e.backend.Finalize()
		return nil
	})
}
