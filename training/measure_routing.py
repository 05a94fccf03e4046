"""Do kept tokens follow the picture?  python -m training.measure_routing runs/diffcr/*/model

The program that draws the scenes knows which thing covers which token, so this is measured, not looked at: per layer and timestep
region, the share of tokens that are computed among those a thing covers (by more than half), at its edge (by less), and in the
background; AUC, how often a thing's token has a higher score than a background token of the same picture (0.5 is chance); and in how
many layers each token was computed. Unseen scenes, as `training.measure_diffcr` draws them.
"""

import argparse
import json
from pathlib import Path

import torch

from .diffcr import kept_tokens, load_routed, region
from .measure_diffcr import BATCH, REGIONS, Judge

INSIDE = 0.5  # of a token's area: above it a thing's token, below it an edge
PARTS = ("thing", "edge", "background")


def parts_of(covered: torch.Tensor) -> torch.Tensor:
    """[B, N] indices into PARTS from the covered share [B, N]."""
    return torch.where(covered > INSIDE, 0, torch.where(covered > 0, 1, 2))


def auc(scores: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Of every picture [B] that has both a thing and background; NaN for others."""
    values = []
    for row, part in zip(scores, parts):
        thing, background = row[part == 0], row[part == 2]
        above = (thing[:, None] > background[None]).float() + 0.5 * (thing[:, None] == background[None]).float()
        values.append(above.mean() if above.numel() else torch.tensor(float("nan")))
    return torch.stack(values)


class Watcher:
    """What every routed layer keeps in the next call: scores [B, N] and kept [B, N] by layer."""

    def __init__(self, transformer):
        self.scores, self.kept = {}, {}
        for i, block in enumerate(transformer.transformer_blocks):
            block.register_forward_pre_hook(lambda block, arguments, i=i: self.see(i, block, arguments[0]))

    def see(self, layer: int, block, x: torch.Tensor) -> None:
        scores = block.router(x)
        chosen = scores.argsort(dim=1, descending=True, stable=True)[:, : kept_tokens(block.kept, x.shape[1])]
        self.scores[layer], self.kept[layer] = scores, torch.zeros_like(scores).scatter_(1, chosen, 1.0)


@torch.no_grad()
def measure(folder: Path, data: Path, batches: int, ratio: float | None, policy: str) -> dict:
    pipeline = load_routed(folder, policy, ratio)
    transformer, judge = pipeline.transformer.eval(), Judge(pipeline, data)
    watcher, layers = Watcher(transformer), len(transformer.transformer_blocks)
    computed = torch.zeros(REGIONS, layers, len(PARTS))  # tokens computed; `there`: tokens there were
    there, ranked, pictures = torch.zeros(REGIONS, len(PARTS)), torch.zeros(REGIONS, layers), torch.zeros(REGIONS)
    coverage = torch.zeros(len(PARTS), layers + 1)  # tokens by the number of layers they were computed in
    for step in range(batches):
        latents, conditions, timesteps, noise = judge.inputs(step)
        _, masks = judge.data.examples.truth(step, BATCH)
        parts = parts_of(masks.sum(-1))
        regions = torch.tensor([region(t, REGIONS, judge.train_timesteps) for t in timesteps.tolist()])
        for r in regions.unique().tolist():
            some = regions == r
            noisy = judge.objective.add_noise(latents[some], noise[some], timesteps[some])
            words = {name: value[some] for name, value in conditions.items()} | judge.data.extra(noisy)
            transformer(noisy, timestep=timesteps[some], **words, return_dict=False)
            times = sum(watcher.kept.values()).long()  # [B, N]
            both = ~auc(watcher.scores[0], parts[some]).isnan()
            pictures[r] += both.sum()
            for p in range(len(PARTS)):
                here = parts[some] == p
                there[r, p] += here.sum()
                coverage[p] += torch.bincount(times[here], minlength=layers + 1)
                for layer in range(layers):
                    computed[r, layer, p] += watcher.kept[layer][here].sum()
            for layer in range(layers):
                ranked[r, layer] += auc(watcher.scores[layer], parts[some]).nansum()
    rounded = lambda values: [[round(v, 4) for v in row] for row in values.tolist()]
    shares = computed / there[:, None].clamp(min=1)
    return {
        "folder": str(folder),
        "kept": {name: round((computed[..., p].sum() / (there[:, p].sum() * layers)).item(), 4) for p, name in enumerate(PARTS)},
        "kept by region and layer": {name: rounded(shares[..., p]) for p, name in enumerate(PARTS)},
        "AUC by region and layer": rounded(ranked / pictures[:, None].clamp(min=1)),
        "AUC": round((ranked.sum(0) / pictures.sum()).mean().item(), 4),
        "tokens by layers computed in": {name: [round(v, 4) for v in (coverage[p] / coverage[p].sum().clamp(min=1)).tolist()] for p, name in enumerate(PARTS)},
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, default=Path("runs/unseen"))
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--policy", choices=("diffcr", "mod"), default="diffcr")
    parser.add_argument("--ratio", type=float)
    parser.add_argument("--out", type=Path, help="a JSON file for all of it, layer by layer")
    arguments = parser.parse_args()
    rows = []
    print(f"{'folder':<24} kept of   thing    edge  background    AUC")
    for folder in arguments.models:
        row = measure(folder, arguments.data, arguments.batches, arguments.ratio, arguments.policy)
        rows.append(row)
        print(f"{'/'.join(folder.parts[-2:]):<24}  {row['kept']['thing']:13.3f} {row['kept']['edge']:7.3f} {row['kept']['background']:11.3f} {row['AUC']:6.3f}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
