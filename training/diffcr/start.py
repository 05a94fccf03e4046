"""Where routers start. The paper does not say; at zero or random they halve every MLP branch and keep arbitrary tokens.

Here they are fitted to the dense model, layer by layer, by ridge regression on a block's raw input x [M, C] (M tokens of some
batches): logits ≈ LEVEL + SPREAD·importance, where a token is the more important the more the dense block changes it, ‖out − x‖.
LEVEL brings the scores near 1, so that training starts at the dense model and its weights stay good without routers too.
"""

import torch
from torch import nn

LEVEL, SPREAD = 3.0, 0.5  # of the logits: sigmoid(3) = 0.95, and a spread of 0.5 moves scores between 0.92 and 0.97
RIDGE = 1e-4  # of the mean eigenvalue


class Fit:
    """Sums of x xᵀ, x and x·importance of one layer."""

    def __init__(self, block: nn.Module):
        width = block.dim
        self.gram, self.sum, self.aim = torch.zeros(width, width), torch.zeros(width), torch.zeros(width)
        self.count = 0
        self.hook = block.register_forward_hook(self.add)

    def add(self, block, arguments, out):
        x = arguments[0]
        change = (out - x).norm(dim=-1)  # [B, N]
        # By rank within its picture, −1 … 1: only tokens of one picture compete, and outliers count no more than others.
        importance = change.argsort(1).argsort(1) * (2 / (x.shape[1] - 1)) - 1
        rows = x.flatten(0, 1).float()
        self.gram += (rows.T @ rows).cpu()
        self.sum += rows.sum(0).cpu()
        self.aim += (rows.T @ importance.flatten()).cpu()
        self.count += len(rows)

    def weight(self) -> torch.Tensor:
        ridge = self.gram + RIDGE * self.gram.diagonal().mean() * torch.eye(len(self.gram))
        level, importance = torch.linalg.solve(ridge, torch.stack([self.sum, self.aim], 1)).unbind(1)  # fits of 1 and of importance
        mean = self.sum / self.count
        variance = importance @ (self.gram / self.count) @ importance - (mean @ importance) ** 2
        return LEVEL * level + SPREAD * importance / variance.clamp(min=1e-12).sqrt()


@torch.no_grad()
def fit_routers(transformer: nn.Module, run_batch, batches: int) -> None:
    """`run_batch(i)` runs the dense transformer on the i-th batch."""
    fits = [Fit(block) for block in transformer.transformer_blocks]
    for i in range(batches):
        run_batch(i)
    for fit, block in zip(fits, transformer.transformer_blocks):
        fit.hook.remove()
        block.router.weight.copy_(fit.weight()[None])
