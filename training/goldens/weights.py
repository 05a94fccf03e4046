"""Weights under which a wrong mask, a wrong id or a wrong guidance scale shows.

Fresh models start near zero in just the places that matter: adaLN gates, tables, T5's embeddings.
"""

import torch
from torch import nn


def randomise(model: nn.Module, seed: int, gains: dict[str, float] | None = None) -> nn.Module:
    """Draws every parameter anew. `gains` scales the parameters whose name begins with a key."""
    generator = torch.Generator("cpu").manual_seed(seed)
    norms = {name for name, module in model.named_modules() if "norm" in type(module).__name__.lower()}
    embeddings = {name for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    for name, parameter in sorted(model.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        noise = torch.randn(parameter.shape, generator=generator)
        if owner in norms and leaf == "weight":
            value = 1 + 0.1 * noise
        elif owner in embeddings:
            value = noise
        elif leaf == "scale_shift_table":
            value = 0.5 * noise
        elif parameter.ndim == 1:
            value = 0.1 * noise
        else:
            value = noise / parameter[0].numel() ** 0.5
        gain = next((gain for prefix, gain in (gains or {}).items() if name.startswith(prefix)), 1.0)
        parameter.data.copy_(gain * value)
    return model.eval()
