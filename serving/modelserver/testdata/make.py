"""Writes the ONNX models of the serving tests: run it in this folder with a Python that has numpy, onnx
and onnxruntime. The weights come from a fixed seed, the golden rows from onnxruntime.

mlp/        4-8-3 network with class names; the model of most tests
digits/     64-32-10 network: the size of the main job's model, for benchmarks
regressor/  4-8-1 network without class names
wide/       64 parallel branches: deadlocks a backend that runs operators in parallel
bad/        models that admission must refuse, each with the mlp's signature
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(7)


def weight(name, *shape):
    return numpy_helper.from_array((RANDOM.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32), name)


def build(nodes, weights, inputs, outputs, batch="batch", opset=13):
    graph = helper.make_graph(
        nodes, "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, inputs])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, width]) for name, width in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def mlp(inputs, hidden, outputs, last="Softmax", name="probabilities", beta=1.0, alpha=1.0, activation="Relu", **kw):
    weights = [weight("w1", inputs, hidden), weight("b1", hidden), weight("w2", hidden, outputs), weight("b2", outputs)]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], alpha=alpha, beta=beta),
        helper.make_node(activation, ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["z" if last else name]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["z"], [name], axis=-1))
    return build(nodes, weights, inputs, [(name, outputs)], **kw)


def wide(inputs, branches, outputs):
    nodes, weights = [], []
    for i in range(branches):
        weights.append(weight(f"w{i}", inputs, outputs))
        nodes.append(helper.make_node("MatMul", ["x", f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"r{i}"]))
    total = "r0"
    for i in range(1, branches):
        nodes.append(helper.make_node("Add", [total, f"r{i}"], [f"s{i}"]))
        total = f"s{i}"
    nodes.append(helper.make_node("Softmax", [total], ["probabilities"], axis=-1))
    return build(nodes, weights, inputs, [("probabilities", outputs)])


def write(folder, model, labels, rows=4):
    path = pathlib.Path(folder)
    path.mkdir(exist_ok=True)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    x, y = model.graph.input[0], model.graph.output[0]
    width_in, width_out = (v.type.tensor_type.shape.dim[1].dim_value for v in (x, y))
    signature = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width_in]}],
        "outputs": [{"name": y.name, "datatype": "FP32", "shape": [-1, width_out]}],
    }
    (path / "signature.json").write_text(json.dumps(signature) + "\n")
    values = RANDOM.standard_normal((rows, width_in)).astype(np.float32)
    answer = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": values})[0]
    golden = {"inputs": values.tolist(), "outputs": answer.tolist(), "tolerance": 1e-5}
    (path / "golden.json").write_text(json.dumps(golden) + "\n")
    if labels:
        (path / "labels.json").write_text(json.dumps(labels) + "\n")


def bad(name, model):
    pathlib.Path("bad").mkdir(exist_ok=True)
    (pathlib.Path("bad") / f"{name}.onnx").write_bytes(model.SerializeToString())


write("mlp", mlp(4, 8, 3), ["ant", "bee", "cat"])
write("digits", mlp(64, 32, 10), [str(i) for i in range(10)])
write("regressor", mlp(4, 8, 1, last=None, name="y"), None)
write("wide", wide(4, 64, 3), ["ant", "bee", "cat"])
bad("beta", mlp(4, 8, 3, beta=0.5))
bad("alpha", mlp(4, 8, 3, alpha=2.0))
bad("operator", mlp(4, 8, 3, activation="Sigmoid"))
bad("opset", mlp(4, 8, 3, opset=11))
bad("batch", mlp(4, 8, 3, batch=1))
bad("width", mlp(5, 8, 3))
bad("output", mlp(4, 8, 3, name="scores"))

huge = mlp(4, 8, 3)
huge.graph.initializer[0].dims[:] = [1 << 40, 8]
bad("huge", huge)

loop = mlp(4, 8, 3)
loop.graph.node[0].input[0] = "a"
bad("loop", loop)

outer = build(
    [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["t", "w"], ["o"]),
     helper.make_node("ReduceMean", ["o"], ["r"], axes=[0, 1], keepdims=1),
     helper.make_node("MatMul", ["x", "v"], ["z"]), helper.make_node("Add", ["z", "r"], ["s"]),
     helper.make_node("Softmax", ["s"], ["probabilities"], axis=-1)],
    [numpy_helper.from_array(np.zeros((1, 12000), np.float32), "w"), weight("v", 4, 3)], 4, [("probabilities", 3)])
bad("memory", outer)
