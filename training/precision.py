"""Matrix products in bf16, everything else in f32.

Autocast would be the usual way, but it also moves attention to bf16, whose backward pass is six times slower on CPUs than in
f32 and costs more than the products gain.
"""

import torch
from torch import nn
from torch.nn import functional as F


class HalfLinear(nn.Linear):
    """Weights and accumulation in f32, operands rounded to bf16; the backward products are bf16 as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.bfloat16()
        return F.linear(x.bfloat16(), self.weight.bfloat16(), bias).to(x.dtype)


def bf16_is_fast() -> bool:
    return torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()


def use_bf16_products(module: nn.Module) -> None:
    """Switches every linear layer inside; names, parameters and checkpoints stay as they are."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = HalfLinear
