"""bf16 in training gives the gradients of f32, but for rounding."""

import copy

import pytest
import torch
from diffusers import PixArtTransformer2DModel
from torch.nn import functional as F

from training import precision
from training.precision import HalfAttention, use_bf16_attention, use_bf16_products


def away(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.float() - b).norm() / b.norm()).item()


@pytest.mark.parametrize("cached", (1, 1 << 20))
def test_attention_and_its_gradients(cached, monkeypatch):
    monkeypatch.setattr(precision, "CACHED", cached)  # one head at a time, or all at once
    torch.manual_seed(0)
    q, k, v, gradient = (torch.randn(6, 40, 16) for _ in range(4))
    exact = [t.clone().requires_grad_() for t in (q, k, v)]
    expected = F.scaled_dot_product_attention(*exact)
    wanted = torch.autograd.grad(expected, exact, gradient)
    rounded = [t.bfloat16().requires_grad_() for t in (q, k, v)]
    out = HalfAttention.apply(rounded[0] * 16**-0.5, rounded[1], rounded[2])
    got = torch.autograd.grad(out, rounded, gradient.bfloat16())
    assert away(out, expected) < 0.02
    assert all(away(a, b) < 0.02 for a, b in zip(got, wanted))


def test_a_transformer_in_bf16_is_the_same_one():
    torch.manual_seed(0)
    exact = PixArtTransformer2DModel(
        num_layers=2, num_attention_heads=2, attention_head_dim=16, sample_size=16, out_channels=4,
        cross_attention_dim=32, caption_channels=24, use_additional_conditions=False,
    )  # fmt: skip
    rounded = copy.deepcopy(exact)
    use_bf16_products(rounded.transformer_blocks)
    use_bf16_attention(rounded.transformer_blocks)
    given = dict(hidden_states=torch.randn(3, 4, 16, 16), encoder_hidden_states=torch.randn(3, 5, 24), timestep=torch.tensor([1, 500, 900]))
    outs = [network(**given, encoder_attention_mask=torch.ones(3, 5), return_dict=False)[0] for network in (exact, rounded)]
    assert 0 < away(outs[1], outs[0].detach()) < 0.02
    for out in outs:
        out.square().mean().backward()
    for (name, a), b in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        assert b.grad is not None and away(b.grad, a.grad) < 0.05 or a.grad.norm() < 1e-6, name
