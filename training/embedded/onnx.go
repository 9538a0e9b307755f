package embedded

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"phantom/domain"
)

// The names and the form of what the model takes and gives.
const (
	inputName  = "x"
	outputName = "probabilities"
	batchName  = "batch"
)

// Field numbers and constants of onnx.proto (ONNX 1.13, IR version 8, operator set 13).
const (
	modelIRVersion, modelProducer, modelGraph, modelOpset           protowire.Number = 1, 2, 7, 8
	opsetVersion                                                    protowire.Number = 2
	graphNode, graphName, graphInitializer, graphInput, graphOutput protowire.Number = 1, 2, 5, 11, 12
	nodeInput, nodeOutput, nodeName, nodeOperator                   protowire.Number = 1, 2, 3, 4
	tensorDims, tensorType, tensorName, tensorRaw                   protowire.Number = 1, 2, 8, 9
	valueName, valueType                                            protowire.Number = 1, 2
	typeTensor, tensorElement, tensorShape, shapeDimension          protowire.Number = 1, 1, 2, 1
	dimensionValue, dimensionName                                   protowire.Number = 1, 2

	irVersion    = 8
	opset        = 13
	elementFloat = 1
)

// signature describes a model for the Open Inference Protocol.
func signature(n network) domain.Signature {
	features, classes := n[0].in, n[len(n)-1].out
	return domain.Signature{
		Inputs:  []domain.Tensor{{Name: inputName, Datatype: "FP32", Shape: []int64{-1, int64(features)}}},
		Outputs: []domain.Tensor{{Name: outputName, Datatype: "FP32", Shape: []int64{-1, int64(classes)}}},
	}
}

// encodeONNX writes a network as an ONNX model of Gemm (alpha and beta 1, nothing transposed), Relu and one
// Softmax over the last axis; the batch is a symbolic dimension.
func encodeONNX(n network) []byte {
	var graph message
	value := inputName
	for i := range n {
		weights, bias, scores := fmt.Sprintf("w%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("z%d", i)
		graph.node("Gemm", scores, value, weights, bias)
		value = scores
		if i < len(n)-1 {
			value = fmt.Sprintf("h%d", i)
			graph.node("Relu", value, scores)
		}
	}
	graph.node("Softmax", outputName, value)
	graph.text(graphName, "classifier")
	for i, l := range n {
		graph.tensor(fmt.Sprintf("w%d", i), transposed(l), l.in, l.out)
		graph.tensor(fmt.Sprintf("b%d", i), l.b, l.out)
	}
	graph.value(graphInput, inputName, n[0].in)
	graph.value(graphOutput, outputName, n[len(n)-1].out)

	var operators, model message
	operators.number(opsetVersion, opset)
	model.number(modelIRVersion, irVersion)
	model.text(modelProducer, "phantom")
	model.message(modelGraph, graph)
	model.message(modelOpset, operators)
	return model
}

// transposed lays a layer's weights out as Gemm wants them: [in][out].
func transposed(l layer) []float32 {
	w := make([]float32, len(l.w))
	for o := range l.out {
		for i := range l.in {
			w[i*l.out+o] = l.w[o*l.in+i]
		}
	}
	return w
}

// message is a protocol buffer that grows.
type message []byte

func (m *message) number(field protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), v)
}

func (m *message) text(field protowire.Number, s string) { m.message(field, []byte(s)) }

func (m *message) message(field protowire.Number, body []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), body)
}

func (m *message) node(operator, output string, inputs ...string) {
	var node message
	for _, input := range inputs {
		node.text(nodeInput, input)
	}
	node.text(nodeOutput, output)
	node.text(nodeName, output)
	node.text(nodeOperator, operator)
	m.message(graphNode, node)
}

func (m *message) tensor(name string, values []float32, shape ...int) {
	var tensor message
	for _, size := range shape {
		tensor.number(tensorDims, uint64(size))
	}
	tensor.number(tensorType, elementFloat)
	tensor.text(tensorName, name)
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	tensor.message(tensorRaw, raw)
	m.message(graphInitializer, tensor)
}

// value declares an input or output: FP32 [batch, width].
func (m *message) value(field protowire.Number, name string, width int) {
	var batch, columns, shape, tensor, kind, value message
	batch.text(dimensionName, batchName)
	columns.number(dimensionValue, uint64(width))
	shape.message(shapeDimension, batch)
	shape.message(shapeDimension, columns)
	tensor.number(tensorElement, elementFloat)
	tensor.message(tensorShape, shape)
	kind.message(typeTensor, tensor)
	value.text(valueName, name)
	value.message(valueType, kind)
	m.message(field, value)
}
