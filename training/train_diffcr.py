"""Fine-tunes a model folder with routing:  python -m training.train_diffcr --model assets/scenes-dense --mode lt --target 0.3

`--mode dense` is the control: the same steps without routing. `mod` keeps a fixed share everywhere, `l` learns one kept ratio per
layer, `lt` one per layer and timestep region. `--target` is the share of tokens saved. Routers, ratios and backbone (all of it, or
`--lora RANK`) train together; the text encoder stays as it is. With `--teach` they learn, in part or wholly, to predict what the model
predicted before it was routed. Resumes from --out; writes the model folder --out/model at the end.
"""

from .runtime import Budget, load_checkpoint, prepare, save_checkpoint, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import time
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import nn

from .diffcr import BINS, LearnedRatios, Settings, region, rescale, route, save_folder, set_kept
from .diffcr.data import open_data, predict
from .diffcr.lora import add_lora, merge_lora
from .diffcr.ratios import mean
from .diffcr.start import fit_routers, fit_to_cost, one_by_one
from .diffusion import objective_for
from .muon import MuonAndAdamW, trapezoid
from .precision import bf16_is_fast, use_bf16_attention, use_bf16_products
from .train_dit import ADAMW_LR, MUON_LR

PAPER_LR, PAPER_DECAY = 1e-4, 3e-2  # --optimiser adamw, and always with --lora
ROUTER_LR, RATIO_LR = 3e-4, 5e-3
FIT_BATCHES = 8  # that routers are fitted to before the first step, at most


@dataclass(frozen=True)
class Recipe:
    steps: int
    batch: int
    warm_up: int


RECIPES = {"cpu": Recipe(steps=1200, batch=16, warm_up=30), "gpu": Recipe(steps=20_000, batch=256, warm_up=200)}


class Run:
    """The state of one fine-tuning: everything a step changes, and everything a checkpoint holds."""

    def __init__(self, options):
        self.options, self.step = options, 0
        self.routed, self.learns = options.mode != "dense", options.mode in ("l", "lt")
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(options.seed)
        pipeline = DiffusionPipeline.from_pretrained(options.model, dtype=torch.float32)
        self.objective = objective_for(pipeline.scheduler)
        self.train_timesteps = pipeline.scheduler.config.num_train_timesteps
        self.data = open_data(pipeline, options.data, options.seed, self.device)
        # In eval mode: nothing here has dropout but DiT's labels, which each block would drop for itself; the data does it.
        self.transformer = pipeline.transformer.to(self.device).eval()
        layers = len(self.transformer.transformer_blocks)
        if bf16_is_fast():
            use_bf16_products(self.transformer.transformer_blocks)
        self.ratios = LearnedRatios(options.regions if options.mode == "lt" else 1, layers).to(self.device)
        self.fixed = [[1 - options.target] * layers] if options.mode == "mod" else None  # ratios that no longer learn
        self.teacher = deepcopy(self.transformer).requires_grad_(False) if options.teach else None
        if self.routed:
            route(self.transformer, options.scale)
            if not (options.out / "checkpoint.pt").exists():
                self.start_routers()
        if bf16_is_fast() and self.device == "cpu":
            for network in (self.transformer, self.teacher) if self.teacher else (self.transformer,):
                use_bf16_attention(network.transformer_blocks)
        self.optimisers = self.make_optimisers()

    def start_routers(self) -> None:
        """Fitted, and kept in `routers.safetensors`, from where another run with the same model and target may take them."""
        kept = self.options.out / "routers.safetensors"
        routers = {name: p for name, p in self.transformer.named_parameters() if ".router." in name}
        given = self.options.routers or (kept if kept.exists() else None)
        if given:
            weights = load_file(given)
            shapes = lambda tensors: {name: tensor.shape for name, tensor in tensors.items()}
            if shapes(weights) != shapes(routers):
                raise SystemExit(f"{given} has routers of another model")
            print(f"routers as fitted in {given}", flush=True)
            self.transformer.load_state_dict(weights, strict=False)
            return
        if self.options.start == "change":
            fit_routers(self.transformer, lambda i: self.predict(*self.noisy_batch(-1 - i)[:3]), FIT_BATCHES)
        else:
            self.fit_to_cost()
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in routers.items()}, kept)

    def fit_to_cost(self) -> None:
        batches = (one_by_one(self.noisy_batch(-1 - i), self.predict, self.objective) for i in range(FIT_BATCHES))
        pictures = list(islice(chain.from_iterable(batches), self.options.start_pictures))
        started = time.monotonic()
        report = lambda layer: print(f"router {layer} fitted, {(time.monotonic() - started) / 60:.1f} min", flush=True)
        fit_to_cost(self.transformer, pictures, 1 - self.options.target, report=report)

    def make_optimisers(self) -> list[tuple]:
        """Pairs of an optimiser and how its learning rate moves: `weights` or `ratios`."""
        options = self.options
        routers = [p for name, p in self.transformer.named_parameters() if ".router." in name]
        backbone = nn.ParameterList(p for name, p in self.transformer.named_parameters() if ".router." not in name)
        if options.lora:
            backbone = nn.ParameterList(add_lora(self.transformer, options.lora))
            for router in routers:
                router.requires_grad_(True)
        if options.lora or options.optimiser == "adamw":
            matrices, rates, decay = [], (PAPER_LR, PAPER_LR), PAPER_DECAY
        else:  # Muon takes the blocks' matrices; scale_shift_table [6, C] is a modulation
            inside = {id(p) for p in self.transformer.transformer_blocks.parameters() if p.ndim == 2 and min(p.shape) > 6}
            matrices, rates, decay = [p for p in backbone if id(p) in inside], (MUON_LR, ADAMW_LR), 0.01
        self.backbone = MuonAndAdamW(backbone, matrices, *(options.rate * rate for rate in rates), decay)
        self.router_optimiser = torch.optim.AdamW(routers, lr=ROUTER_LR, betas=(0.9, 0.95), weight_decay=0.0) if routers else None
        # A short memory of squares: the pull towards the target is gone long before the layers have settled among themselves.
        self.ratio_optimiser = torch.optim.Adam([self.ratios.matrix], lr=RATIO_LR, betas=(0.9, 0.98))
        return [part for part in (*self.backbone.parts, self.router_optimiser, self.ratio_optimiser) if part]

    def noisy_batch(self, step: int):
        """Noisy latents, timesteps, conditions, latents, noise: all fixed by (seed, step), the same for every mode."""
        torch.manual_seed(self.options.seed + 1_000_003 * (step + FIT_BATCHES))
        latents, conditions = self.data.batch(step + FIT_BATCHES, self.options.batch)
        timesteps = self.objective.draw_timesteps(len(latents))
        noise = torch.randn(latents.shape).to(self.device)
        return self.objective.add_noise(latents, noise, timesteps), timesteps, conditions, latents, noise

    def predict(self, noisy, timesteps, conditions):
        return predict(self.transformer, self.data, noisy, timesteps, conditions)

    @torch.no_grad()
    def taught(self, noisy, timesteps, conditions):
        """What the model predicted before it was routed; None where nobody asks."""
        return predict(self.teacher, self.data, noisy, timesteps, conditions) if self.teacher else None

    def rows(self):
        """Kept ratios by region: numbers, or scalars that learn; None for dense."""
        if not self.routed:
            return [None]
        return self.fixed if self.fixed is not None else [list(row.unbind()) for row in self.ratios.matrix]

    def losses(self, progress: float) -> tuple[torch.Tensor, float]:
        """What to minimise, and the diffusion loss in it.

        A batch mixes timesteps as they come, the same in every mode. Each region's part runs by itself with its own kept
        ratios, so a step is the weighted mean of one-region batches.
        """
        noisy, timesteps, conditions, latents, noise = self.noisy_batch(self.step)
        rows, taught = self.rows(), self.taught(noisy, timesteps, conditions)
        regions = torch.tensor([region(t, len(rows), self.train_timesteps) for t in timesteps.tolist()])
        total, diffusion = 0.0, 0.0
        for index in regions.unique().tolist():
            some = (regions == index).nonzero().flatten()
            set_kept(self.transformer, rows[index])
            predicted = self.predict(noisy[some], timesteps[some], {name: value[some] for name, value in conditions.items()})
            loss = self.objective.loss(predicted, latents[some], noise[some], timesteps[some])
            share = len(some) / len(regions)
            diffusion += share * loss.item()
            if taught is not None:
                apart = self.objective.apart(predicted, taught[some], timesteps[some]).mean()
                loss = (1 - self.options.teach) * loss + self.options.teach * apart
            if self.fixed is None and self.learns:
                loss = loss + self.options.ratio_weight * self.ratios.loss(index, 1 - self.target(progress))
            total = total + share * loss
        return total, diffusion

    def target(self, progress: float) -> float:
        """The share to save, rising from 0 over the first third of the time that ratios learn."""
        return self.options.target * min(1.0, progress / (self.options.settle / 3))

    def advance(self, progress: float) -> float:
        """One step; returns the diffusion loss."""
        if self.learns and self.fixed is None and progress >= self.options.settle:
            self.fixed = rescale(self.ratios.tolist(), self.ratios.bins, 1 - self.options.target)
        total, diffusion = self.losses(progress)
        total.backward()
        rate = trapezoid(progress, self.step, self.options.warm_up)
        self.backbone.step(rate)
        if self.routed:
            self.update(self.router_optimiser, self.options.router_rate * ROUTER_LR * rate)
        if self.learns and self.fixed is None:
            self.update(self.ratio_optimiser, RATIO_LR * trapezoid(min(1.0, progress / self.options.settle), self.step, self.options.warm_up))
            self.ratios.clamp()
        self.step += 1
        return diffusion

    @staticmethod
    def update(optimiser, lr: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = lr
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def matrix(self) -> list[list[float]] | None:
        return (self.fixed or self.ratios.tolist()) if self.routed else None

    def state(self) -> dict:
        return {
            "step": self.step, "transformer": self.transformer.state_dict(), "ratios": self.ratios.state_dict(), "fixed": self.fixed,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }  # fmt: skip

    def load(self, state: dict) -> None:
        self.step, self.fixed = state["step"], state["fixed"]
        self.transformer.load_state_dict(state["transformer"])
        self.ratios.load_state_dict(state["ratios"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def export(self) -> Path:
        matrix = self.matrix()
        if self.learns and self.fixed is None:  # ratios learnt to the very end
            matrix = rescale(matrix, BINS, 1 - self.options.target)
        settings = Settings(self.options.scale, list(BINS), matrix, self.train_timesteps) if self.routed else None
        folder = self.options.out / "model"
        save_folder(merge_lora(self.transformer), settings, self.options.model, folder)
        return folder


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes-dense"), help="a folder that save_pretrained wrote")
    parser.add_argument("--mode", choices=("dense", "mod", "l", "lt"), default="lt")
    parser.add_argument("--target", type=float, default=0.3, help="share of the tokens to save")
    parser.add_argument("--preset", choices=RECIPES, default="cpu")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float, help="instead of --steps; resumptions included")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--warm-up", type=int)
    parser.add_argument("--regions", type=int, default=4, help="equal parts of the schedule, for --mode lt")
    parser.add_argument("--scale", choices=("mlp", "block"), default="mlp", help="the branches that the score multiplies")
    parser.add_argument("--settle", type=float, default=0.5, help="share of the run in which ratios learn; then they are snapped")
    parser.add_argument("--ratio-weight", type=float, default=10.0, help="of the ratio loss (paper: 0.3)")
    parser.add_argument("--start", choices=("cost", "change"), default="cost", help="what routers are fitted to before the first step: diffcr/start.py")
    parser.add_argument("--start-pictures", type=int, default=72, help="that the cost is measured on")
    parser.add_argument("--routers", type=Path, help="routers that another run has fitted, its routers.safetensors, instead of fitting them")
    parser.add_argument("--router-rate", type=float, default=1.0, help="factor on the routers' learning rate; 0 leaves them as they were fitted")
    parser.add_argument("--teach", type=float, default=0.0, help="share of the loss that compares with the unrouted model's prediction; 0 … 1")
    parser.add_argument("--lora", type=int, nargs="?", const=32, help="train low-rank updates instead of the whole backbone")
    parser.add_argument("--optimiser", choices=("muon", "adamw"), default="muon", help="adamw is the paper's")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the backbone's learning rate")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    for name, value in vars(RECIPES[options.preset]).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.out = options.out or Path("runs/diffcr") / f"{options.mode}-{options.target}"
    return options


def main():
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    run, spent = Run(options), 0.0
    checkpoint = options.out / "checkpoint.pt"
    if state := load_checkpoint(checkpoint):
        run.load(state)
        spent = state["spent"]
    budget = Budget(options.minutes or 0, spent)
    progress = lambda: budget.progress if options.minutes else run.step / options.steps
    save = lambda: save_checkpoint(checkpoint, spent=budget.spent, **run.state())

    log, saved, since, losses = open(options.out / "log.jsonl", "a"), time.monotonic(), time.monotonic(), []
    while (now := progress()) < 1:
        losses.append(run.advance(now))
        if run.step % 10 == 0:
            matrix = run.matrix()
            line = {"step": run.step, "loss": round(float(np.mean(losses)), 4), "pace": round((time.monotonic() - since) / len(losses), 3)}
            line |= {"minutes": round(budget.spent / 60, 2)}
            if matrix:
                line |= {"kept": round(mean(matrix), 4), "matrix": [[round(ratio, 4) for ratio in row] for row in matrix]}
            log.write(json.dumps(line) + "\n")
            log.flush()
            print("  ".join(f"{key} {value}" for key, value in line.items() if key != "matrix"), flush=True)
            since, losses = time.monotonic(), []
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()
    save()
    print(f"{run.step} steps, {budget.spent / 60:.1f} minutes, kept ratios {run.matrix()}, model in {run.export()}")


if __name__ == "__main__":
    main()
