"""Trains the autoencoder:  python -m training.train_vae --minutes 20

Reads pictures.npy, writes `vae/` (diffusers format) and a resumable checkpoint into --out. `--init` starts from the weights of
another autoencoder of the same shape, whose latents the new ones stay close to.
"""

from .runtime import Budget, Interruption, load_checkpoint, prepare, save_checkpoint, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from .models import autoencoder
from .muon import MuonAndAdamW, trapezoid
from .presets import PRESETS

WARM_UP = 100  # steps
MUON_LR, ADAMW_LR = 4e-3, 2e-3
KL_WEIGHT = 1e-7  # a touch: with 3e-6 the posterior spent a quarter of each latent on noise, and the pictures blurred


def to_float(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [B, S, S, 3] → float [B, 3, S, S] in −1…1."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Absolute difference of the pictures and of their gradients: the second term keeps outlines sharp."""
    rows = lambda p: p[..., 1:, :] - p[..., :-1, :]
    columns = lambda p: p[..., :, 1:] - p[..., :, :-1]
    edges = F.l1_loss(rows(output), rows(target)) + F.l1_loss(columns(output), columns(target))
    return F.l1_loss(output, target) + 0.5 * edges + F.mse_loss(output, target)


def draw_batch(pictures: np.ndarray, size: int, rng: np.random.Generator, whole: bool) -> np.ndarray:
    """uint8 [size, S/2, S/2, 3] of crops, or a quarter as many whole pictures: equal work.

    Crops show more scenes a step; whole pictures teach the attention in the middle how many positions there will be.
    """
    if whole:
        return pictures[rng.integers(len(pictures), size=max(1, size // 4))]
    half = pictures.shape[1] // 2
    corners = rng.integers(half + 1, size=(size, 2))
    return np.stack([pictures[i, y : y + half, x : x + half] for i, (y, x) in zip(rng.integers(len(pictures), size=size), corners)])


def convolutions(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights Muon takes: all but the first and last layers' few channels."""
    return [parameter for parameter in module.parameters() if parameter.ndim >= 2 and min(parameter.flatten(1).shape) >= 16]


@torch.no_grad()
def normalise_latents(vae, pictures: np.ndarray) -> None:
    """Gives every latent channel mean 0 and deviation 1 over `pictures`, by rescaling the two 1×1 convolutions.

    The diffusion then starts from noise of the right scale in each channel, and `scaling_factor` stays 1.
    """
    latents = torch.cat([vae.encode(to_float(part)).latent_dist.mean for part in np.array_split(pictures, 16)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))  # [C] each
    channels = len(mean)

    quant, post = vae.quant_conv, vae.post_quant_conv
    # decode(z·σ + μ): before the encoder's rows change, the decoder learns to undo them.
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= deviation[None, :, None, None]
    # The first C outputs are means, the other C log-variances.
    quant.weight[:channels] /= deviation[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--out", type=Path, default=Path("runs/vae"))
    parser.add_argument("--init", type=Path, help="an autoencoder's folder to start from")
    parser.add_argument("--rate", type=float, default=1, help="factor on both learning rates")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    preset = PRESETS[arguments.preset]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = np.load(arguments.data / "pictures.npy", mmap_mode="r")
    torch.manual_seed(arguments.seed)
    vae = autoencoder(preset)
    if arguments.init:
        vae.load_state_dict(AutoencoderKL.from_pretrained(arguments.init, dtype=torch.float32).state_dict())
    vae.to(device, memory_format=torch.channels_last)
    optimiser = MuonAndAdamW(vae, convolutions(vae), MUON_LR * arguments.rate, ADAMW_LR * arguments.rate)
    step, spent = 0, 0.0

    checkpoint = arguments.out / "checkpoint.pt"
    if state := load_checkpoint(checkpoint):
        vae.load_state_dict(state["vae"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]

    budget, saved, started, first, noise = Budget(arguments.minutes, spent), time.monotonic(), time.monotonic(), step, []
    interruption = Interruption()
    while budget.progress < 1 and not interruption:
        rng = np.random.default_rng([arguments.seed, step])
        batch = to_float(draw_batch(pictures, preset.vae_batch, rng, whole=step % 2 == 0)).to(device)
        posterior = vae.encode(batch.contiguous(memory_format=torch.channels_last)).latent_dist
        output = vae.decode(posterior.sample()).sample
        loss = reconstruction_loss(output, batch)
        (loss + KL_WEIGHT * posterior.kl().mean()).backward()
        optimiser.step(trapezoid(budget.progress, step, WARM_UP))
        step += 1

        noise.append(F.mse_loss(output.detach(), batch).item())
        if step % 50 == 0:
            psnr, noise = 10 * math.log10(4 / np.mean(noise)), []
            pace = (time.monotonic() - started) / (step - first)
            print(f"step {step}  loss {loss.item():.4f}  psnr {psnr:.1f} dB  {pace:.2f} s/step", flush=True)
        if time.monotonic() - saved > 120:
            save_checkpoint(checkpoint, vae=vae.state_dict(), optimiser=optimiser.state_dict(), step=step, spent=budget.spent)
            saved = time.monotonic()

    save_checkpoint(checkpoint, vae=vae.state_dict(), optimiser=optimiser.state_dict(), step=step, spent=budget.spent)
    if interruption:
        return
    vae = vae.cpu().eval()
    normalise_latents(vae, pictures[:2048])
    vae.save_pretrained(arguments.out / "vae")
    print(f"{step} steps, autoencoder in {arguments.out / 'vae'}")


if __name__ == "__main__":
    main()
