"""Where routers start. The paper does not say; at zero or random they halve every MLP branch and keep arbitrary tokens.

Routers are fitted to the dense model by ridge regression on a block's raw input x [M, C] (M tokens of some pictures): logits ≈
LEVEL + SPREAD·importance. LEVEL brings the scores near 1, so that training starts at the dense model and its weights stay good
without routers too. What is important can be told in two ways:

- `fit_routers`: a token is the more important the more the dense block changes it, ‖out − x‖. Cheap, and a poor guide: the change
  says nothing of whether the picture suffers without it.
- `fit_to_cost`: a token is the more important the more the loss grows when the block passes it by. Layers are fitted one after the
  other, those before already routed at the target ratio: a token that earlier layers skipped costs more to skip again, so the
  layers do not all starve the same tokens.
"""

from functools import partial
from typing import Callable

import torch
from torch import nn

from .blocks import set_kept

LEVEL, SPREAD = 3.0, 0.5  # of the logits: sigmoid(3) = 0.95, and a spread of 0.5 moves scores between 0.92 and 0.97
RIDGE = 1e-4  # of the mean eigenvalue


class Sums:
    """Sums of x xᵀ, x and x·importance of one layer: all that the fit needs."""

    def __init__(self, width: int):
        self.gram, self.sum, self.aim = torch.zeros(width, width), torch.zeros(width), torch.zeros(width)
        self.count = 0

    def add(self, x: torch.Tensor, importance: torch.Tensor) -> None:
        """x [B, N, C], importance [B, N] of any scale: it counts by rank within its picture, −1 … 1.

        Only tokens of one picture compete, and outliers count no more than others.
        """
        ranks = importance.argsort(1).argsort(1) * (2 / (x.shape[1] - 1)) - 1
        rows = x.flatten(0, 1).float()
        self.gram += (rows.T @ rows).cpu()
        self.sum += rows.sum(0).cpu()
        self.aim += (rows.T @ ranks.flatten()).cpu()
        self.count += len(rows)

    def weight(self) -> torch.Tensor:
        ridge = self.gram + RIDGE * self.gram.diagonal().mean() * torch.eye(len(self.gram))
        level, importance = torch.linalg.solve(ridge, torch.stack([self.sum, self.aim], 1)).unbind(1)  # fits of 1 and of importance
        mean = self.sum / self.count
        variance = importance @ (self.gram / self.count) @ importance - (mean @ importance) ** 2
        return LEVEL * level + SPREAD * importance / variance.clamp(min=1e-12).sqrt()


@torch.no_grad()
def fit_routers(transformer: nn.Module, run_batch: Callable[[int], object], batches: int) -> None:
    """To the change. `run_batch(i)` runs the dense transformer on the i-th batch."""
    fits, hooks = [], []
    for block in transformer.transformer_blocks:
        fits.append(Sums(block.dim))
        add = lambda block, arguments, out, fit=fits[-1]: fit.add(arguments[0], (out - arguments[0]).norm(dim=-1))
        hooks.append(block.register_forward_hook(add))
    for i in range(batches):
        run_batch(i)
    for hook, fit, block in zip(hooks, fits, transformer.transformer_blocks):
        hook.remove()
        block.router.weight.copy_(fit.weight()[None])


@torch.no_grad()
def bypass_costs(
    transformer: nn.Module, layer: int, tokens: torch.Tensor, predict: Callable[[], torch.Tensor], loss: Callable[[torch.Tensor], torch.Tensor],
):  # fmt: skip
    """What it costs the loss of one picture that one layer passes a token by: a cost for each of `tokens` [T], and x [1, N, C].

    `predict()` runs the transformer on that picture alone; `loss(prediction [T + 1, …])` is [T + 1]. Layers up to this one run
    once, those after it on T + 1 copies of the picture: one as it is, and one for each token, whose row is x instead of out.
    """
    blocks, hooks, seen = transformer.transformer_blocks, [], {}
    copies = len(tokens) + 1

    def fork(block, arguments, keywords, out):
        x = seen["x"] = arguments[0]
        many = out.expand(copies, -1, -1).clone()
        many[torch.arange(1, copies), tokens] = x[0, tokens]
        return many

    def widen(block, arguments, keywords):
        one = lambda value: isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == 1
        return arguments, {name: value.expand(copies, *value.shape[1:]) if one(value) else value for name, value in keywords.items()}

    hooks.append(blocks[layer].register_forward_hook(fork, with_kwargs=True))
    hooks += [block.register_forward_pre_hook(widen, with_kwargs=True) for block in blocks[layer + 1 :]]
    try:
        losses = loss(predict())
    finally:
        for hook in hooks:
            hook.remove()
    return losses[1:] - losses[0], seen["x"]


def one_by_one(batch, predict: Callable, objective):
    """A batch picture by picture, as `bypass_costs` wants them: pairs (predict, loss).

    `batch`: noisy latents, timesteps, conditions, latents, noise; `predict(noisy, timesteps, conditions)` runs the transformer.
    """
    noisy, timesteps, conditions, latents, noise = batch
    for p in range(len(noisy)):
        one = lambda value: value[p : p + 1]
        truth = one(latents), one(noise), one(timesteps)
        run = partial(predict, one(noisy), one(timesteps), {name: one(value) for name, value in conditions.items()})
        yield run, lambda out, truth=truth: objective.losses(out, *(value.expand(len(out), *value.shape[1:]) for value in truth))


@torch.no_grad()
def fit_to_cost(transformer: nn.Module, pictures, ratio: float, tokens: int = 64, seed: int = 0, report=None) -> None:
    """To the cost, layer after layer; leaves the transformer dense.

    `pictures`: a sequence of pairs (predict, loss) as `bypass_costs` wants them. `tokens` are tried in each picture and layer,
    drawn at random where there are more. `report(layer)` is called when a layer is done.
    """
    layers = len(transformer.transformer_blocks)
    generator = torch.Generator().manual_seed(seed)
    for layer, block in enumerate(transformer.transformer_blocks):
        set_kept(transformer, [ratio] * layer + [None] * (layers - layer))
        fit = Sums(block.dim)
        for predict, loss in pictures:
            count = token_count(transformer, predict)
            chosen = torch.randperm(count, generator=generator)[:tokens].sort().values
            costs, x = bypass_costs(transformer, layer, chosen, predict, loss)
            fit.add(x[:, chosen], costs[None])
        block.router.weight.copy_(fit.weight()[None])
        if report:
            report(layer)
    set_kept(transformer, None)


def token_count(transformer: nn.Module, predict) -> int:
    """How many tokens a picture has; asked of the first one, for all are of one size."""
    if not hasattr(transformer, "_tokens"):
        seen = []
        hook = transformer.transformer_blocks[0].register_forward_pre_hook(lambda block, arguments: seen.append(arguments[0].shape[1]))
        predict()
        hook.remove()
        transformer._tokens = seen[0]
    return transformer._tokens
