"""Run a model with ONNX Runtime: run_onnx.py MODEL ROWS FEATURES < inputs > probabilities.

Inputs and probabilities are 32-bit floats in little endian, row by row. ROWS is how many rows are given to
the model at a time, so that its batch dimension is tried too.
"""

import sys

import numpy
import onnxruntime


def main() -> None:
    model, rows, features = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    x = numpy.frombuffer(sys.stdin.buffer.read(), dtype="<f4").reshape(-1, features)
    for start in range(0, len(x), rows):
        (probabilities,) = session.run(["probabilities"], {"x": x[start : start + rows]})
        sys.stdout.buffer.write(probabilities.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
