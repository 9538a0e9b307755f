package modelserver

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/onnx-gomlx/onnx"

	"phantom/domain"
	"phantom/serving/oip"
)

const (
	maxNodes = 10_000 // the engine converts a graph by recursion
	minOpset = 13     // Softmax means another thing before
)

// allowed are the operators that may run. Left out are those whose result grows with a value instead of a
// shape (Range, Expand, Tile, ConstantOfShape) and those that hold graphs (If).
func allowed() []string {
	return []string{
		"Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Constant",
		"Conv", "Cos", "CumSum", "Div", "Equal", "Erf", "Exp", "Flatten", "Floor", "Gather", "GatherElements",
		"Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "Identity", "LSTM", "LayerNormalization",
		"Less", "LessOrEqual", "Log", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Not", "Or", "Pad", "Pow",
		"ReduceMean", "Relu", "Reshape", "Shape", "Sign", "Sin", "Slice", "Softmax", "Split", "Sqrt", "Squeeze",
		"Sub", "Tanh", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
	}
}

// admit parses the model and refuses what the engine would compute wrongly, hang on or die of. The
// engine's own types are internal to it, so they are only ever reached through the parsed model.
func admit(body []byte, signature domain.Signature) (*onnx.Model, error) {
	var model *onnx.Model
	err := caught(func() error {
		parsed, err := onnx.Parse(body)
		model = parsed
		return err
	})
	if err != nil {
		return nil, errors.New("model.onnx cannot be read as an ONNX model")
	}
	if err := admitGraph(model); err != nil {
		return nil, err
	}
	if err := admitSignature(model, signature); err != nil {
		return nil, err
	}
	return model, nil
}

func admitGraph(model *onnx.Model) error {
	graph := model.Proto.Graph
	if len(graph.Node) > maxNodes {
		return fmt.Errorf("the model has %d nodes, more than %d", len(graph.Node), maxNodes)
	}
	if len(model.Proto.Functions) > 0 || len(graph.SparseInitializer) > 0 {
		return errors.New("model functions and sparse weights are not supported")
	}
	for _, opset := range model.Proto.OpsetImport {
		if opset.Domain == "" && opset.Version < minOpset {
			return fmt.Errorf("opset %d is older than %d", opset.Version, minOpset)
		}
	}
	known := map[string]bool{"": true}
	for _, name := range model.InputsNames {
		known[name] = true
	}
	for _, weight := range graph.Initializer {
		if err := admitTensor(weight); err != nil {
			return err
		}
		known[weight.Name] = true
	}
	operators := allowed()
	for _, node := range graph.Node {
		if node.Domain != "" && node.Domain != "ai.onnx" || !slices.Contains(operators, node.OpType) {
			return fmt.Errorf("operator %s is not supported", qualified(node.Domain, node.OpType))
		}
		for _, input := range node.Input { // in this order nothing can go in a circle
			if !known[input] {
				return fmt.Errorf("node %q uses %q before it is computed", node.Name, input)
			}
		}
		for _, attribute := range node.Attribute {
			if attribute.G != nil || len(attribute.Graphs) > 0 {
				return fmt.Errorf("operator %s holds a graph of its own, which is not supported", node.OpType)
			}
			if attribute.T != nil {
				if err := admitTensor(attribute.T); err != nil {
					return err
				}
			}
			// The engine reads beta from alpha, and so computes another function without a word.
			if node.OpType == "Gemm" && (attribute.Name == "alpha" || attribute.Name == "beta") && attribute.F != 1 {
				return fmt.Errorf("operator Gemm with %s = %g is not supported, only 1", attribute.Name, attribute.F)
			}
		}
		for _, output := range node.Output {
			known[output] = true
		}
	}
	return nil
}

func qualified(space, operator string) string {
	if space == "" {
		return operator
	}
	return space + "." + operator
}

// tensor is the part of an ONNX TensorProto that tells its size.
type tensor interface {
	GetName() string
	GetDims() []int64
	GetDataType() int32
	GetRawData() []byte
	GetFloatData() []float32
	GetInt32Data() []int32
	GetInt64Data() []int64
	GetDoubleData() []float64
	GetUint64Data() []uint64
}

// admitTensor refuses a weight whose dimensions promise more than its bytes hold: the engine would
// allocate the promise first.
func admitTensor(weight tensor) error {
	width, ok := map[int32]int64{1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 11: 8, 12: 4, 13: 8}[weight.GetDataType()]
	if !ok {
		return fmt.Errorf("weight %q has a data type that is not supported", weight.GetName())
	}
	elements := int64(1)
	for _, dim := range weight.GetDims() {
		if dim < 0 || dim > maxFile || elements*dim > maxFile {
			return fmt.Errorf("weight %q is too large", weight.GetName())
		}
		elements *= dim
	}
	held := int64(len(weight.GetFloatData()) + len(weight.GetInt32Data()) + len(weight.GetInt64Data()) +
		len(weight.GetDoubleData()) + len(weight.GetUint64Data()))
	if raw := int64(len(weight.GetRawData())); raw > 0 {
		if raw%width != 0 {
			return fmt.Errorf("weight %q ends in the middle of a value", weight.GetName())
		}
		held = raw / width
	}
	if held != elements {
		return fmt.Errorf("weight %q has %d values, its shape %d", weight.GetName(), held, elements)
	}
	return nil
}

// admitSignature holds the graph against what the version says that it takes and gives.
func admitSignature(model *onnx.Model, signature domain.Signature) error {
	if len(signature.Inputs) != 1 || signature.Inputs[0].Datatype != oip.FP32 {
		return errors.New("signature.json: exactly one input of FP32 is available yet")
	}
	if len(signature.Outputs) == 0 {
		return errors.New("signature.json: there is no output")
	}
	if err := sameTensors("input", signature.Inputs, model.InputsNames, model.InputsShapes, true); err != nil {
		return err
	}
	return sameTensors("output", signature.Outputs, model.OutputsNames, model.OutputsShapes, false)
}

func sameTensors(kind string, signed []domain.Tensor, names []string, shapes []onnx.DynamicShape, all bool) error {
	if all && len(names) != len(signed) {
		return fmt.Errorf("model.onnx has %d %ss, the signature %d", len(names), kind, len(signed))
	}
	for _, want := range signed {
		at := slices.Index(names, want.Name)
		if at < 0 {
			return fmt.Errorf("model.onnx has no %s %q of the signature", kind, want.Name)
		}
		if want.Datatype != oip.FP32 || shapes[at].DType.String() != "Float32" {
			return fmt.Errorf("%s %q is not FP32 in both the signature and model.onnx", kind, want.Name)
		}
		if len(want.Shape) < 2 || want.Shape[0] != -1 {
			return fmt.Errorf("%s %q: the signature's shape does not begin with the batch, -1", kind, want.Name)
		}
		got := shapes[at].Dimensions
		if len(got) != len(want.Shape) || got[0] > 0 {
			return fmt.Errorf("%s %q has shape %v in model.onnx, %v in the signature", kind, want.Name, got, want.Shape)
		}
		for axis, dim := range want.Shape[1:] {
			if dim < 1 || dim > maxFile || int64(got[axis+1]) != dim {
				return fmt.Errorf("%s %q has shape %v in model.onnx, %v in the signature", kind, want.Name, got, want.Shape)
			}
		}
	}
	return nil
}
