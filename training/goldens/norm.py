"""`norm/`: the norms alone. In a picture a wrong ε drowns in rounding; on rows of small variance it does not."""

from pathlib import Path

import torch
from diffusers.models.normalization import RMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from . import store

WIDTHS = [20, 99]
EPSILONS = [1e-6, 1e-5, 1e-3]
# The standard deviation of each row; the variances lie on both sides of every ε.
SPREADS = [1.0, 1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 0.0]


def rows(width: int, offset: float) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(width)
    return offset + torch.tensor(SPREADS)[:, None] * torch.randn((len(SPREADS), width), generator=generator)


def write(out: Path) -> None:
    tensors, cases = {}, []
    for width in WIDTHS:
        generator = torch.Generator("cpu").manual_seed(width + 1)
        weight = 1 + 0.3 * torch.randn(width, generator=generator)
        bias = 0.3 * torch.randn(width, generator=generator)
        tensors |= {f"{width}/weight": weight, f"{width}/bias": bias}
        # An offset tells a two-pass variance from E[x²] − E[x]², which loses its digits here.
        for offset in [0.0, 1.0]:
            value = rows(width, offset)
            tensors[f"{width}/{offset:g}/input"] = value
            for epsilon in EPSILONS:
                t5, rms = T5LayerNorm(width, eps=epsilon), RMSNorm(width, eps=epsilon)
                t5.weight.data, rms.weight.data = weight, weight
                results = {
                    "layer": torch.nn.functional.layer_norm(value, (width,), None, None, epsilon),
                    "layer_affine": torch.nn.functional.layer_norm(value, (width,), weight, bias, epsilon),
                    "rms_t5": t5(value),
                }
                assert torch.allclose(results["rms_t5"], rms(value), atol=1e-6)
                for kind, result in results.items():
                    name = f"{width}/{offset:g}/{kind}/{epsilon:g}"
                    tensors[name] = result
                    cases.append({
                        "kind": kind, "width": width, "epsilon": epsilon, "input": f"{width}/{offset:g}/input", "output": name,
                    })  # fmt: skip
    store.tensors(out / "norm.safetensors", tensors)
    store.document(out / "cases.json", cases)
