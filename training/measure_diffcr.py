"""The diffusion loss of model folders on scenes they have not seen, by timestep region:

    python -m training.scenes.dataset --count 1000 --seed 1000003 --out runs/unseen
    python -m training.encode --data runs/unseen --vae assets/scenes/vae --tokenizer assets/scenes/tokenizer
    python -m training.measure_diffcr assets/scenes-dense runs/diffcr/*/model

`--routers assets/scenes-dense` instead compares ways to start the routers of a dense model: the loss before any training.
`training.measure_cost` says why they differ.
"""

import argparse
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import nn

from .diffcr import load_routed, region, route, set_kept
from .diffcr.data import open_data, predict
from .diffcr.folder import read_settings
from .diffcr.ratios import mean
from .diffcr.start import fit_routers, fit_to_cost, one_by_one
from .diffusion import objective_for

REGIONS, BATCH = 4, 48


class Judge:
    """The same batches, timesteps and noise for every model."""

    def __init__(self, pipeline, data: Path):
        self.data, self.objective = open_data(pipeline, data, 0, "cpu"), objective_for(pipeline.scheduler)
        self.train_timesteps = pipeline.scheduler.config.num_train_timesteps

    def inputs(self, step: int):
        torch.manual_seed(step)
        latents, conditions = self.data.batch(step, BATCH)
        return latents, conditions, self.objective.draw_timesteps(BATCH), torch.randn(latents.shape)

    def noisy(self, step: int):
        """Noisy latents, timesteps, conditions, latents, noise."""
        latents, conditions, timesteps, noise = self.inputs(step)
        return self.objective.add_noise(latents, noise, timesteps), timesteps, conditions, latents, noise

    def predict(self, transformer: nn.Module, noisy, timesteps, conditions) -> torch.Tensor:
        return predict(transformer, self.data, noisy, timesteps, conditions)

    @torch.no_grad()
    def losses(self, transformer: nn.Module, batches: int) -> list[float]:
        """Mean over all, then over each region. Regions run apart: a schedule has one row for a whole call."""
        sums, counts = [0.0] * REGIONS, [0] * REGIONS
        for step in range(batches):
            noisy, timesteps, conditions, latents, noise = self.noisy(step)
            regions = torch.tensor([region(t, REGIONS, self.train_timesteps) for t in timesteps.tolist()])
            for r in regions.unique().tolist():
                some = regions == r
                predicted = self.predict(transformer, noisy[some], timesteps[some], {name: value[some] for name, value in conditions.items()})
                sums[r] += self.objective.loss(predicted, latents[some], noise[some], timesteps[some]).item() * len(predicted)
                counts[r] += len(predicted)
        return [sum(sums) / sum(counts), *(s / max(1, c) for s, c in zip(sums, counts))]


KEPT = (1.0, 0.9, 0.7, 0.5)  # that ways to start are compared at
STARTED = 1000  # the first step whose batch routers are fitted to; the loss is of those from 0 on


def compare_starts(folder: Path, data: Path, batches: int, pictures: int) -> None:
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    judge, transformer = Judge(pipeline, data), route(pipeline.transformer.eval())
    layers, predicted = len(transformer.transformer_blocks), partial(judge.predict, transformer)

    def random(std: float) -> None:
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.router.weight, std=std)

    def change() -> None:
        set_kept(transformer, None)
        fit_routers(transformer, lambda i: predicted(*judge.noisy(STARTED + i)[:3]), 8)

    def cost() -> None:
        batches = (one_by_one(judge.noisy(STARTED + i), predicted, judge.objective) for i in count())
        fit_to_cost(transformer, list(islice(chain.from_iterable(batches), pictures)), 0.7)

    starts = {"zero": partial(random, 0.0), "normal 0.02": partial(random, 0.02), "change": change, "cost": cost}
    print(f"dense: {judge.losses(transformer, batches)[0]:.3f}\nrouters      " + "  ".join(f"{kept:g} kept" for kept in KEPT))
    for name, prepare in starts.items():
        prepare()
        figures = []
        for kept in KEPT:
            set_kept(transformer, [kept] * layers)
            figures.append(judge.losses(transformer, batches)[0])
        print(f"{name:<12} " + "  ".join(f"{figure:{len(f'{kept:g} kept')}.3f}" for kept, figure in zip(KEPT, figures)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--routers", type=Path)
    parser.add_argument("--data", type=Path, default=Path("runs/unseen"))
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=72, help="that the cost is measured on, with --routers")
    parser.add_argument("--policy", choices=("diffcr", "mod", "dense"), help="default: diffcr where there are routers")
    parser.add_argument("--ratio", type=float)
    arguments = parser.parse_args()
    if arguments.routers:
        compare_starts(arguments.routers, arguments.data, arguments.batches, arguments.pictures)
    if arguments.models:
        print(f"{'folder':<24} {'policy':<7} {'kept':>5} {'loss':>7}   noisiest to cleanest region")
    for folder in arguments.models:
        settings = read_settings(folder)
        policy = arguments.policy or ("diffcr" if settings else "dense")
        pipeline = load_routed(folder, policy, arguments.ratio)
        all_, *regions = Judge(pipeline, arguments.data).losses(pipeline.transformer.eval(), arguments.batches)
        kept = 1.0 if policy == "dense" else mean(settings.kept_ratio) if arguments.ratio is None else 1 - arguments.ratio
        name = "/".join(folder.parts[-2:])
        print(f"{name:<24} {policy:<7} {kept:5.2f} {all_:7.4f}   " + " ".join(f"{loss:.4f}" for loss in regions), flush=True)


if __name__ == "__main__":
    main()
