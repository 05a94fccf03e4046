"""`functions/`: activations and sinusoids alone. Two GELUs differ by 1e-4 of a prediction, which a whole model may hide."""

from pathlib import Path

import torch
from diffusers.models.embeddings import get_2d_sincos_pos_embed, get_timestep_embedding
from transformers.activations import ACT2FN

from . import store

TIMESTEPS = [0.0, 1.0, 2.0, 19.0, 250.0, 498.5, 500.0, 731.25, 998.0, 999.0]
# (width, rows, columns, base size, interpolation scale): native, larger, non-square, stretched, fractional scale.
GRIDS = [(16, 4, 4, 4, 1), (24, 6, 6, 4, 1), (28, 4, 6, 8, 2), (36, 7, 3, 5, 1), (20, 3, 5, 64, 2), (12, 5, 4, 4, 1.5)]


def write(out: Path) -> None:
    value = torch.cat([torch.linspace(-9, 9, 361), torch.tensor([-1e-4, 1e-4, -50.0, 50.0])])
    tensors, cases = {"activation/input": value}, []
    functions = {
        "gelu": torch.nn.functional.gelu,
        "gelu-approximate": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        "gelu_new": ACT2FN["gelu_new"],
        "silu": torch.nn.functional.silu,
        "relu": torch.nn.functional.relu,
    }
    for name, function in functions.items():
        tensors[f"activation/{name}"] = function(value)
        cases.append({"kind": "activation", "name": name, "input": "activation/input", "output": f"activation/{name}"})
    timesteps = torch.tensor(TIMESTEPS)
    # The shift is 1 in DiT and 0 in PixArt; both put the cosines first.
    for shift in [0, 1]:
        name = f"timestep/{shift}"
        tensors[name] = get_timestep_embedding(timesteps, 256, flip_sin_to_cos=True, downscale_freq_shift=shift)
        cases.append({"kind": "timestep", "timesteps": TIMESTEPS, "width": 256, "shift": shift, "output": name})
    for width, rows, columns, base, scale in GRIDS:
        name = f"position/{width}_{rows}x{columns}_{base}_{scale:g}"
        tensors[name] = get_2d_sincos_pos_embed(width, (rows, columns), base_size=base, interpolation_scale=scale)
        shape = {"width": width, "rows": rows, "columns": columns, "base_size": base, "interpolation_scale": scale}
        cases.append({"kind": "position", **shape, "output": name})
    store.tensors(out / "functions.safetensors", tensors)
    store.document(out / "cases.json", cases)
