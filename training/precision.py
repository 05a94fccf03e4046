"""Matrix products in bf16, everything else in f32.

Autocast would be the usual way, but it also moves attention to torch's own bf16 kernel, whose backward pass is six times slower on
CPUs than in f32 and costs more than the products gain. `HalfAttention` is attention from plain bf16 products, which takes half of the
time of the f32 kernel at 256 tokens.
"""

import torch
from torch import nn
from torch.nn import functional as F

CACHED = 1 << 20  # bytes of attention weights worked on at a time, so that they stay in a processor's cache


class HalfLinear(nn.Linear):
    """Weights and accumulation in f32, operands rounded to bf16; the backward products are bf16 as well."""

    result = torch.float32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.bfloat16()
        return F.linear(x.bfloat16(), self.weight.bfloat16(), bias).to(self.result)


class HalfAttention(torch.autograd.Function):
    """softmax(q kᵀ) v of bf16 [B·H, N, D], q scaled already, a few pictures at a time; keeps its weights for the backward pass."""

    @staticmethod
    def parts(q: torch.Tensor) -> list[slice]:
        size = max(1, CACHED // (2 * q.shape[1] ** 2))
        return [slice(start, start + size) for start in range(0, len(q), size)]

    @staticmethod
    def forward(ctx, q, k, v):
        weights, out = q.new_empty(len(q), q.shape[1], q.shape[1]), torch.empty_like(q)
        for part in HalfAttention.parts(q):
            weights[part] = torch.softmax(torch.bmm(q[part], k[part].mT), -1)
            torch.bmm(weights[part], v[part], out=out[part])
        ctx.save_for_backward(q, k, v, weights, out)
        return out

    @staticmethod
    def backward(ctx, gradient):
        q, k, v, weights, out = ctx.saved_tensors
        gradient = gradient.contiguous()
        # What softmax's own gradient subtracts: Σ_j w_j · ∂w_j = ⟨gradient, out⟩, in f32 for it is a difference of like numbers.
        common = (gradient.float() * out.float()).sum(-1, keepdim=True).to(q.dtype)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for part in HalfAttention.parts(q):
            torch.bmm(weights[part].mT, gradient[part], out=dv[part])
            slope = torch.bmm(gradient[part], v[part].mT).sub_(common[part]).mul_(weights[part])
            torch.bmm(slope, k[part], out=dq[part])
            torch.bmm(slope.mT, q[part], out=dk[part])
        return dq, dk, dv


class HalfSelfAttention:
    """A processor for diffusers' `Attention` without mask, norms or groups: what PixArt's `attn1` is."""

    def __call__(self, attention, x: torch.Tensor, encoder_hidden_states=None, attention_mask=None, **_) -> torch.Tensor:
        if encoder_hidden_states is not None or attention_mask is not None:
            raise ValueError("only self-attention over all tokens")
        batch, tokens, _ = x.shape
        x = x.bfloat16()  # once for all three projections

        def heads(projection):
            return projection(x).view(batch, tokens, attention.heads, -1).transpose(1, 2).flatten(0, 1)

        q, k, v = heads(attention.to_q), heads(attention.to_k), heads(attention.to_v)
        out = HalfAttention.apply(q * q.shape[-1] ** -0.5, k, v)
        out = out.view(batch, attention.heads, tokens, -1).transpose(1, 2).flatten(2)
        return attention.to_out[0](out)


def bf16_is_fast() -> bool:
    return torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()


def use_bf16_products(module: nn.Module) -> None:
    """Switches every linear layer inside; names, parameters and checkpoints stay as they are."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = HalfLinear


def use_bf16_attention(blocks: nn.ModuleList) -> None:
    """For training on a CPU, after `use_bf16_products`: the self-attention of PixArt's blocks."""
    for block in blocks:
        block.attn1.set_processor(HalfSelfAttention())
        for projection in (block.attn1.to_q, block.attn1.to_k, block.attn1.to_v):
            projection.result = torch.bfloat16
