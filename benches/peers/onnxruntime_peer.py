"""onnxruntime on the processor as a peer:  python -m benches.peers.onnxruntime_peer THREADS

It runs the case's `model.onnx`, which `cases.py` exports from `transformer.py`.
"""

import sys
from pathlib import Path

import onnxruntime
from safetensors.numpy import load_file

from .protocol import serve


def load(folder: Path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(sys.argv[1]), 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    given = load_file(folder / "inputs.safetensors")
    inputs = {name: given[name] for name in ("latents", "timestep")}
    return lambda: session.run(["prediction"], inputs)[0]


if __name__ == "__main__":
    serve(load)
