"""Trains the transformer and the text encoder together:  python -m training.train_dit --minutes 80

Resumes from --out when a checkpoint is there. `--minutes` is the whole run, resumptions included: the schedule follows the clock.
"""

from .runtime import Budget, load_checkpoint, prepare, save_checkpoint, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import models
from .diffusion import Objective
from .muon import MuonAndAdamW, trapezoid
from .precision import bf16_is_fast, use_bf16_products
from .presets import PRESETS

WARM_UP = 200  # steps
CAPTION_DROPOUT = 0.1  # captions replaced by "", for classifier-free guidance
EMA_DECAY = 0.998
MUON_LR, ADAMW_LR = 2e-3, 1e-3


def initialise(transformer: nn.Module) -> None:
    """As PixArt: the residual branches that bring in text start at zero, so does the output; modulation starts small."""
    for name, parameter in transformer.named_parameters():
        if parameter.ndim != 2 or "scale_shift_table" in name:
            continue
        if name.startswith("proj_out") or "attn2.to_out" in name:
            nn.init.zeros_(parameter)
        elif name.startswith("adaln_single") or name.startswith("caption_projection"):
            nn.init.normal_(parameter, std=0.02)
        else:
            nn.init.xavier_uniform_(parameter)


class Examples:
    """Random batches of latents and captions; the draw depends on (seed, step) alone, so a resumed run repeats nothing."""

    def __init__(self, folder: Path, seed: int):
        self.latents = np.load(folder / "latents.npy", mmap_mode="r")  # [count, C, h, w]
        self.tokens = np.load(folder / "tokens.npy")  # [count, variants, length]
        weights = folder / "coverage.npy"
        coverage = np.load(weights).astype(np.float64) if weights.exists() else np.ones(len(self.latents))  # [count]
        self.cumulative = np.cumsum(coverage / coverage.sum())
        self.seed = seed

    def batch(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents [B, C, h, w], token ids [B, S] and their mask [B, S], cut to the longest caption."""
        rng = np.random.default_rng([self.seed, step])
        picked = np.searchsorted(self.cumulative, rng.random(size)).clip(max=len(self.latents) - 1)
        latents = torch.from_numpy(self.latents[picked].astype(np.float32))
        ids = self.tokens[picked, rng.integers(self.tokens.shape[1], size=size)].astype(np.int64)
        ids[rng.random(size) < CAPTION_DROPOUT] = np.eye(1, ids.shape[1], dtype=np.int64)  # "" is </s> alone, id 1
        length = (ids != 0).sum(1).max()
        ids = torch.from_numpy(ids[:, : -(-length // 8) * 8])  # a few lengths only, so that buffers are reused
        return latents, ids, (ids != 0).long()


class Average:
    """Exponential moving average of the weights: what is sampled and exported. Starts as a plain mean."""

    def __init__(self, module: nn.Module):
        self.values = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [p.detach() for p in module.parameters()], 1 - decay)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--out", type=Path, default=Path("runs/dit"))
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    preset = PRESETS[arguments.preset]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(arguments.seed)
    model = nn.ModuleDict({"transformer": models.transformer(preset), "text_encoder": models.text_encoder(preset)})
    initialise(model["transformer"])
    model.to(device).train()
    if bf16_is_fast():
        use_bf16_products(model["transformer"].transformer_blocks)
    # Muon takes the blocks' matrices; `scale_shift_table` [6, C] is a modulation, not a matrix.
    blocks = [p for p in model["transformer"].transformer_blocks.parameters() if p.ndim == 2 and min(p.shape) > 6]
    optimiser = MuonAndAdamW(model, blocks, MUON_LR, ADAMW_LR)
    average, objective, examples = Average(model), Objective(models.scheduler()), Examples(arguments.data, arguments.seed)
    step, spent = 0, 0.0

    checkpoint = arguments.out / "checkpoint.pt"
    if state := load_checkpoint(checkpoint):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = {name: value.to(device) for name, value in state["average"].items()}
        step, spent = state["step"], state["spent"]

    def save():
        save_checkpoint(
            checkpoint, preset=arguments.preset, model=model.state_dict(), optimiser=optimiser.state_dict(),
            average=average.values, step=step, spent=budget.spent,
        )  # fmt: skip

    budget = Budget(arguments.minutes, spent)
    log, saved, since, losses = open(arguments.out / "log.jsonl", "a"), time.monotonic(), time.monotonic(), []
    while budget.progress < 1:
        torch.manual_seed(arguments.seed + 1_000_003 * step)
        latents, ids, mask = (tensor.to(device) for tensor in examples.batch(step, preset.batch))
        timesteps = objective.draw_timesteps(len(latents))
        noise = torch.randn_like(latents)
        noisy = objective.add_noise(latents, noise, timesteps)

        text = model["text_encoder"](ids, attention_mask=mask).last_hidden_state  # [B, S, D]
        predicted = model["transformer"](
            noisy, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=timesteps.to(device), return_dict=False
        )[0]
        loss = objective.loss(predicted, latents, noise, timesteps)
        loss.backward()
        optimiser.step(trapezoid(budget.progress, step, WARM_UP))
        average.update(model, step)
        losses.append(loss.item())
        step += 1

        if step % 50 == 0:
            pace = (time.monotonic() - since) / len(losses)
            line = {"step": step, "loss": round(float(np.mean(losses)), 4), "pace": round(pace, 3), "minutes": round(budget.spent / 60, 1)}
            log.write(json.dumps(line) + "\n")
            log.flush()
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
            since, losses = time.monotonic(), []
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()

    save()
    print(f"{step} steps, {budget.spent / 60:.1f} minutes, checkpoint in {arguments.out}")


if __name__ == "__main__":
    main()
