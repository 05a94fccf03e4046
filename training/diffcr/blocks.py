"""The routed block: the router scores every token, the best `kept` of them go through diffusers' own block, the rest pass by.

PixArt's and DiT's blocks are one class in diffusers, and all it does it does to the rows it is given; so routing is a gather
before it and a scatter behind it, and serves both. The score multiplies the MLP branch (`scale="mlp"`) or all three (`"block"`).
"""

import torch
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from torch import nn

from .ratios import BINS, kept_tokens, neighbours, region


class Router(nn.Linear):
    """Logits [B, N] from a block's raw input [B, N, C]. A class of its own: `use_bf16_products` leaves it in f32."""

    def __init__(self, width: int):
        super().__init__(width, 1, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).squeeze(-1)


class ScoredFeedForward(FeedForward):
    """The MLP with its output multiplied by `scores` [B, k, 1], if the block has set any."""

    scores = None

    def forward(self, x: torch.Tensor, *arguments, **keywords) -> torch.Tensor:
        out = super().forward(x, *arguments, **keywords)
        return out if self.scores is None else out * self.scores


class RoutedBlock(BasicTransformerBlock):
    """`kept` is a number, or a scalar tensor that learns: then the outputs at the two nearest bins are blended."""

    def forward(self, x: torch.Tensor, *arguments, **conditions) -> torch.Tensor:
        if self.kept is None:  # dense: as if there were no router
            return super().forward(x, *arguments, **conditions)
        logits = self.router(x)
        ranking = logits.argsort(dim=1, descending=True, stable=True)  # [B, N]; of equal logits the lower index first

        def at(ratio: float) -> torch.Tensor:
            return self.compute(x, torch.sigmoid(logits), ranking[:, : kept_tokens(ratio, x.shape[1])], arguments, conditions)

        if not isinstance(self.kept, torch.Tensor):
            return at(self.kept)
        low, high = neighbours(self.kept.item(), self.bins)
        weight = (high - self.kept) / (high - low)
        return weight * at(low) + (1 - weight) * at(high)

    def compute(self, x, scores, kept, arguments, conditions) -> torch.Tensor:
        """x [B, N, C] with the rows at `kept` [B, k] replaced by the block's output on these rows alone."""
        batch, tokens, width = x.shape
        everything = kept.shape[1] == tokens
        rows = None if everything else (kept.sort(dim=1).values + tokens * torch.arange(batch, device=x.device)[:, None]).flatten()
        gathered = x if everything else x.flatten(0, 1).index_select(0, rows).view(batch, -1, width)
        scores = (scores if everything else scores.flatten().index_select(0, rows).view(batch, -1)).unsqueeze(-1)

        self.ff.scores = scores if self.scale == "mlp" else None
        out = super().forward(gathered, *arguments, **conditions)
        self.ff.scores = None
        if self.scale == "block":
            out = gathered + scores * (out - gathered)
        return out if everything else x.flatten(0, 1).index_copy(0, rows, out.flatten(0, 1)).view_as(x)


def route(transformer: nn.Module, scale: str = "mlp", bins=BINS) -> nn.Module:
    """Gives every block a router, in place; parameters keep their names. Starts dense: see `set_kept`."""
    if scale not in ("mlp", "block"):
        raise ValueError(f"scale is {scale!r}, expected 'mlp' or 'block'")
    for block in transformer.transformer_blocks:
        if type(block) is not BasicTransformerBlock or type(block.ff) is not FeedForward:
            raise TypeError(f"cannot route {type(block).__name__} with {type(block.ff).__name__}")
        parameter = next(block.parameters())
        block.__class__, block.ff.__class__ = RoutedBlock, ScoredFeedForward
        block.router = Router(block.dim).to(parameter.device, parameter.dtype)
        block.scale, block.bins, block.kept = scale, tuple(bins), None
    return transformer


def set_kept(transformer: nn.Module, ratios) -> None:
    """The kept ratio of every layer from now on: a row of the matrix, or None for dense."""
    layers = transformer.transformer_blocks
    for block, ratio in zip(layers, [None] * len(layers) if ratios is None else ratios, strict=True):
        block.kept = ratio


def use_schedule(transformer: nn.Module, matrix, train_timesteps: int) -> None:
    """From now on every call looks up its region's row by its own timestep, the same for the whole batch."""

    def choose(module, arguments, keywords):
        timestep = torch.as_tensor(keywords["timestep"]).flatten()[0].item()
        set_kept(module, matrix[region(timestep, len(matrix), train_timesteps)])

    transformer.register_forward_pre_hook(choose, with_kwargs=True)
