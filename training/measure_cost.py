"""What it costs to pass a token by, and does that follow the picture?  python -m training.measure_cost assets/scenes-dense

For some unseen pictures, each layer of a dense model in turn passes one token by, and the picture's loss is compared. Per layer:

- *AUC*: how often a token that a thing covers ranks above a background token of the same picture (0.5 is chance), by how much the
  block changes a token, ‖block(x) − x‖, and by what passing it by costs;
- *mean cost* of a thing's tokens and of the background's, in thousandths of the picture's loss;
- *rank correlation* of change and cost within a picture.

Routers begin from the cost (diffcr/start.py): this shows why. The scenes are drawn as for `training.measure_diffcr`.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
from functools import partial
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from .diffcr.start import bypass_costs, one_by_one
from .measure_diffcr import BATCH, Judge
from .measure_routing import auc, parts_of

BEGIN = 2000  # the first step whose batch is used: neither those of the loss nor those that routers are fitted to


def ranks(values: torch.Tensor) -> torch.Tensor:
    return values.argsort().argsort().float()


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's, of two rows [T]."""
    return torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1].item()


class Layer:
    """What was found in one layer, picture by picture."""

    def __init__(self):
        self.by_change, self.by_cost, self.correlations, self.thing, self.background = [], [], [], [], []

    def add(self, change: torch.Tensor, cost: torch.Tensor, parts: torch.Tensor) -> None:
        """change, cost and parts [T] of the tokens that were tried in one picture."""
        self.by_change.append(auc(change[None], parts[None]))
        self.by_cost.append(auc(cost[None], parts[None]))
        self.correlations.append(correlation(change, cost))
        self.thing.append(cost[parts == 0])
        self.background.append(cost[parts == 2])

    def line(self) -> list[float]:
        mean = lambda values: torch.cat(values).nanmean().item()
        return [mean(self.by_change), mean(self.by_cost), mean(self.thing), mean(self.background), sum(self.correlations) / len(self.correlations)]


@torch.no_grad()
def measure(pipeline, data: Path, pictures: int, tokens: int) -> list[Layer]:
    transformer, judge = pipeline.transformer.eval(), Judge(pipeline, data)
    layers, generator = [Layer() for _ in transformer.transformer_blocks], torch.Generator().manual_seed(0)
    changes = {}
    for i, block in enumerate(transformer.transformer_blocks):
        block.register_forward_hook(lambda block, arguments, out, i=i: changes.__setitem__(i, (out[:1] - arguments[0][:1]).norm(dim=-1)[0]))
    for step in range(-(-pictures // BATCH)):
        batch = judge.noisy(BEGIN + step)
        parts = parts_of(judge.data.examples.truth(BEGIN + step, BATCH)[1].sum(-1))
        for p, (predict, loss) in zip(range(min(BATCH, pictures - step * BATCH)), one_by_one(batch, partial(judge.predict, transformer), judge.objective)):
            whole = loss(predict()).item()
            change = dict(changes)
            chosen = torch.randperm(parts.shape[1], generator=generator)[:tokens].sort().values
            for layer, found in enumerate(layers):
                costs, _ = bypass_costs(transformer, layer, chosen, predict, loss)
                found.add(change[layer][chosen], 1000 * costs / whole, parts[p, chosen])
        print(f"{min(pictures, (step + 1) * BATCH)} of {pictures} pictures", flush=True)
    return layers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("runs/unseen"))
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=64, help="that are tried in each picture, drawn at random")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    layers = measure(pipeline, arguments.data, arguments.pictures, arguments.tokens)
    print("| layer | AUC of the change | AUC of the cost | mean cost: thing | background | rank correlation |\n|" + "---|" * 6)
    for number, layer in enumerate(layers):
        print(f"| {number} | " + " | ".join(f"{value:.2f}" for value in layer.line()) + " |")


if __name__ == "__main__":
    main()
