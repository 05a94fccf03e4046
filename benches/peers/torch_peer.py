"""PyTorch as a peer:  python -m benches.peers.torch_peer eager|compile THREADS

Compiled are the blocks, one at a time, as diffusers' `compile_repeated_blocks` does it: all of them share one compilation.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from .protocol import serve
from .transformer import Transformer


def load(folder: Path):
    given = load_file(folder / "inputs.safetensors")
    with torch.inference_mode():
        model = Transformer(Path(json.loads((folder / "case.json").read_text())["model"]), given).eval()
    if sys.argv[1] == "compile":
        torch.compiler.reset()
        for block in model.blocks:
            block.compile(dynamic=False)

    @torch.inference_mode()
    def step():
        return model(given["latents"], given["timestep"]).numpy()

    return step


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    serve(load)
