"""What makes a training step worth more, and leaves no trace in the model that is exported.

**TREAD** (Krause et al., arXiv 2501.04765): a random part of the tokens passes by the middle layers, so a step costs less; that the
last layers see tokens of both depths is itself good training.

**Alignment** (after REPA, Yu et al., arXiv 2410.06940): a middle layer's tokens are pulled towards knowing what they show. REPA takes
a pretrained encoder's features for that. The program that draws the scenes knows the truth, so a linear head reads from each token
which kind of thing covers it and in which colour, and is taught by the masks. No judge of pictures takes part.
"""

import torch
from diffusers import PixArtTransformer2DModel
from torch import nn
from torch.nn import functional as F

from .scenes.scene import COLOURS, KINDS

DENSE_FIRST, DENSE_LAST = 1, 1  # layers every token goes through
THING_WEIGHT = 3.0  # of a token wholly covered by a thing, where one of background has 1


class SceneHead(nn.Module):
    """Reads kind and colour from a layer's tokens [B, N, C]; the last class of each is "no thing"."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.kind, self.colour = nn.Linear(width, len(KINDS) + 1), nn.Linear(width, len(COLOURS) + 1)

    def loss(self, tokens: torch.Tensor, labels: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
        """labels [B, ≥4] (kind and colour of two things, 255 for none), covered [B, N, 2] in 0…1."""
        tokens = self.norm(tokens)
        weight = 1 + (THING_WEIGHT - 1) * covered.sum(-1)
        total = 0.0
        for head, columns in ((self.kind, labels[:, 0:4:2]), (self.colour, labels[:, 1:4:2])):
            nothing = head.out_features - 1
            target = torch.zeros(*tokens.shape[:2], head.out_features, device=tokens.device)
            target[..., nothing] = (1 - covered.sum(-1)).clamp(min=0)
            at = columns.clamp(max=nothing)[:, None].expand(-1, tokens.shape[1], -1)
            target.scatter_add_(2, at, covered)
            entropy = F.cross_entropy(head(tokens).flatten(0, 1), target.flatten(0, 1), reduction="none")
            total = total + (weight.flatten() * entropy).sum() / weight.sum()
        return total


def pick(count: int, tokens: int, share: float, device) -> torch.Tensor | None:
    """[B, k] ascending indices of the tokens that go through the middle layers; None where all do."""
    kept = round(tokens * (1 - share))
    if kept == tokens:
        return None
    return torch.rand(count, tokens, device=device).argsort(1)[:, :kept].sort(1).values


def rows(x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """x [B, N, C] at `kept` [B, k]."""
    return x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1]))


def run(
    transformer: PixArtTransformer2DModel, noisy: torch.Tensor, text: torch.Tensor, mask: torch.Tensor, timesteps: torch.Tensor,
    share: float = 0.0, tap: int | None = None,
):  # fmt: skip
    """diffusers' forward with a `share` of the tokens passing by the middle layers.

    Returns the prediction [B, C, h, w], the tokens behind layer `tap` and their indices (None: all of them).
    """
    height, width = (side // transformer.config.patch_size for side in noisy.shape[-2:])
    bias = (1 - mask.to(noisy.dtype))[:, None] * -10000.0
    x = transformer.pos_embed(noisy)
    modulation, embedded = transformer.adaln_single(timesteps, None, batch_size=len(noisy), hidden_dtype=noisy.dtype)
    text = transformer.caption_projection(text)

    layers = transformer.transformer_blocks
    kept = pick(len(x), x.shape[1], share, x.device)
    tapped, tapped_at, everything = None, None, None
    for i, layer in enumerate(layers):
        if kept is not None and i == DENSE_FIRST:
            everything, x = x, rows(x, kept)
        if everything is not None and i == len(layers) - DENSE_LAST:
            x = everything.scatter(1, kept[..., None].expand(-1, -1, x.shape[-1]), x)
            everything = None
        x = layer(x, encoder_hidden_states=text, encoder_attention_mask=bias, timestep=modulation)
        if i == tap:
            tapped, tapped_at = x, kept if everything is not None else None

    shift, scale = (transformer.scale_shift_table[None] + embedded[:, None]).chunk(2, dim=1)
    x = transformer.proj_out(transformer.norm_out(x) * (1 + scale) + shift)
    patch, channels = transformer.config.patch_size, transformer.out_channels
    x = x.view(len(x), height, width, patch, patch, channels)
    out = torch.einsum("nhwpqc->nchpwq", x).reshape(len(x), channels, height * patch, width * patch)
    return out, tapped, tapped_at
