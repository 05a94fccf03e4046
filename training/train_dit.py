"""Trains the transformer and the text encoder together:  python -m training.train_dit --minutes 80

Resumes from --out when a checkpoint is there. `--minutes` is the whole run, resumptions included: the schedule follows the clock, or
with `--steps` the steps.
`--init` begins a new run with the weights of another one, or of a model folder: at another number of tokens, or with layers added.
`--text-encoder` takes the text encoder from elsewhere: `training.train_text` writes one that knows which words belong together.
On several GPUs or machines: `accelerate launch --num_processes N -m training.train_dit …` (parallel.py).
"""

from .runtime import Budget, Interruption, load_checkpoint, prepare, save_checkpoint, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import T5EncoderModel

from . import accelerators, models
from .diffusion import UNIFORM_SHARE, Objective, mean_logit
from .grow import weights_of
from .muon import MuonAndAdamW, trapezoid
from .parallel import Team
from .precision import bf16_is_fast, use_bf16_attention, use_bf16_products
from .presets import PATCH, PRESETS

WARM_UP = 200  # steps
CAPTION_DROPOUT = 0.1  # captions replaced by "", for classifier-free guidance
EMA_DECAY = 0.999
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

    def __init__(self, folder: Path, seed: int, two_things: float | None = None):
        """`two_things`: the share of draws with two things; as often as they cover their pictures if left out."""
        self.latents = np.load(folder / "latents.npy", mmap_mode="r")  # [count, C, h, w]
        self.tokens = np.load(folder / "tokens.npy")  # [count, variants, length]
        weights = folder / "coverage.npy"
        coverage = np.load(weights).astype(np.float64) if weights.exists() else np.ones(len(self.latents))  # [count]
        if two_things is not None:
            two = np.load(folder / "labels.npy")[:, 2] != 255
            for those, share in ((two, two_things), (~two, 1 - two_things)):
                coverage[those] *= share / coverage[those].sum()
        self.cumulative = np.cumsum(coverage / coverage.sum())
        self.folder, self.seed = folder, seed

    def picked(self, step: int, size: int) -> tuple[np.ndarray, np.random.Generator]:
        rng = np.random.default_rng([self.seed, step])
        return np.searchsorted(self.cumulative, rng.random(size)).clip(max=len(self.latents) - 1), rng

    def truth(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the batch shows: labels [B, 5], and how much of each token each of two things covers, [B, N, 2] in 0…1."""
        if not hasattr(self, "labels"):
            self.labels = np.load(self.folder / "labels.npy")
            self.covered = np.load(self.folder / "covered.npy", mmap_mode="r")  # [count, 2, cells, cells]
        picked, _ = self.picked(step, size)
        covered = torch.from_numpy(self.covered[picked].astype(np.float32) / 255)
        return torch.from_numpy(self.labels[picked].astype(np.int64)), covered.flatten(2).transpose(1, 2)

    def batch(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents [B, C, h, w], token ids [B, S] and their mask [B, S], cut to the longest caption."""
        picked, rng = self.picked(step, size)
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
    parser.add_argument("--init", type=Path, help="a run's folder or a model's to take the first weights from")
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--steps", type=int, help="the length of the run instead of --minutes: for a machine with other work to do")
    parser.add_argument("--batch", type=int, help="pictures a step; the preset's if left out")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on both learning rates")
    parser.add_argument("--text-encoder", type=Path, help="a folder of a text encoder to begin with, over --init's")
    parser.add_argument("--two-things", type=float, help="share of the pictures with two things; by what they cover if left out")
    parser.add_argument("--mean-logit", type=float, help="of τ: more is more noise; by the number of tokens if left out")
    parser.add_argument("--uniform", type=float, default=UNIFORM_SHARE, help="share of the timesteps drawn uniformly")
    parser.add_argument("--route", type=float, default=0.0, help="share of the tokens that pass by the middle layers (TREAD): training/README.md says what it gave")
    parser.add_argument("--route-until", type=float, default=0.8, help="part of the run after which every token goes through every layer")
    parser.add_argument("--align", type=float, default=0.0, help="weight of the alignment loss: training/README.md says what it gave")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    preset, team = PRESETS[arguments.preset], Team()
    size, device = team.share(arguments.batch or preset.batch), team.device
    torch.manual_seed(arguments.seed)  # first weights are the same in every process, what they are shown is not
    examples = Examples(arguments.data, arguments.seed + 7919 * team.rank, arguments.two_things)
    networks = {"transformer": models.transformer(preset, examples.latents.shape[-1]), "text_encoder": models.text_encoder(preset)}
    initialise(networks["transformer"])
    if arguments.align:
        networks["head"] = accelerators.SceneHead(preset.width)
    model = nn.ModuleDict(networks)
    step, spent = 0, 0.0

    checkpoint = arguments.out / "checkpoint.pt"
    state = load_checkpoint(checkpoint)
    if not state and arguments.init:
        started = model.load_state_dict(weights_of(arguments.init, preset.depth), strict=False)
        unfit = [name for name in started.unexpected_keys if not name.startswith("head.")]
        lacking = [name for name in started.missing_keys if name in dict(model.named_parameters()) and not name.startswith("head.")]
        if unfit or lacking:
            raise ValueError(f"{arguments.init} does not fit preset {arguments.preset}: it lacks {lacking}, and has {unfit}")
    if not state and arguments.text_encoder:
        model["text_encoder"].load_state_dict(T5EncoderModel.from_pretrained(arguments.text_encoder, dtype=torch.float32).state_dict())
    model.to(device).train()
    if bf16_is_fast():
        use_bf16_products(model["transformer"].transformer_blocks)
        if device == "cpu":
            use_bf16_attention(model["transformer"].transformer_blocks)
    # Muon takes the blocks' matrices; `scale_shift_table` [6, C] is a modulation, not a matrix.
    blocks = [p for p in model["transformer"].transformer_blocks.parameters() if p.ndim == 2 and min(p.shape) > 6]
    optimiser = MuonAndAdamW(model, blocks, MUON_LR * arguments.rate, ADAMW_LR * arguments.rate)
    tokens = (examples.latents.shape[-1] // PATCH) ** 2
    centre = mean_logit(tokens) if arguments.mean_logit is None else arguments.mean_logit
    average, objective = Average(model), Objective(models.scheduler(), centre, arguments.uniform)

    if state:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = {name: value.to(device) for name, value in state["average"].items()}
        step, spent = state["step"], state["spent"]

    def save():
        if not team.first:
            return
        save_checkpoint(
            checkpoint, preset=arguments.preset, latent=examples.latents.shape[-1], model=model.state_dict(),
            optimiser=optimiser.state_dict(), average=average.values, step=step, spent=budget.spent,
        )  # fmt: skip

    budget = Budget(arguments.minutes, spent)
    log, saved, since, losses, aligned = open(arguments.out / "log.jsonl", "a"), time.monotonic(), time.monotonic(), [], []
    busy = time.process_time()
    interruption = Interruption()
    while True:
        now, stop = team.agree(step / arguments.steps if arguments.steps else budget.progress, bool(interruption))
        if now >= 1 or stop:
            break
        torch.manual_seed(arguments.seed + 1_000_003 * step + 7919 * team.rank)
        latents, ids, mask = (tensor.to(device) for tensor in examples.batch(step, size))
        timesteps = objective.draw_timesteps(len(latents))
        noise = torch.randn_like(latents)
        noisy = objective.add_noise(latents, noise, timesteps)

        text = model["text_encoder"](ids, attention_mask=mask).last_hidden_state  # [B, S, D]
        share = arguments.route if now < arguments.route_until else 0.0
        predicted, inner, at = accelerators.run(
            model["transformer"], noisy, text, mask, timesteps.to(device), share, tap=preset.depth // 2 - 1 if arguments.align else None
        )
        loss = objective.loss(predicted, latents, noise, timesteps)
        losses.append(loss.item())
        if arguments.align:
            labels, covered = (tensor.to(device) for tensor in examples.truth(step, size))
            alignment = model["head"].loss(inner, labels, covered if at is None else accelerators.rows(covered, at))
            aligned.append(alignment.item())
            loss = loss + arguments.align * alignment
        loss.backward()
        team.average_gradients(model)
        optimiser.step(trapezoid(now, step, WARM_UP))
        average.update(model, step)
        step += 1

        if step % 50 == 0 and team.first:
            pace, work = (time.monotonic() - since) / len(losses), (time.process_time() - busy) / len(losses)
            line = {"step": step, "loss": round(float(np.mean(losses)), 4), "pace": round(pace, 3), "minutes": round(budget.spent / 60, 1)}
            line["processor seconds a step"] = round(work, 3)
            if aligned:
                line["alignment"] = round(float(np.mean(aligned)), 4)
            if share:
                line["routed"] = share
            log.write(json.dumps(line) + "\n")
            log.flush()
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
            since, busy, losses, aligned = time.monotonic(), time.process_time(), [], []
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()

    save()
    print(f"{step} steps, {budget.spent / 60:.1f} minutes, checkpoint in {arguments.out}")


if __name__ == "__main__":
    main()
