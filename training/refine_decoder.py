"""Trains the decoder further while the transformer learns:  python -m training.refine_decoder --minutes 30

The latents are fixed by then, so the encoder is left out: a step decodes cached latents and costs about half.
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

from .muon import MuonAndAdamW, trapezoid
from .presets import PRESETS
from .train_vae import ADAMW_LR, MUON_LR, WARM_UP, convolutions, reconstruction_loss, to_float

JITTER = 0.03  # noise on the unit-scale latents: the ones to come from the sampler will not be exact either


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--vae", type=Path, default=Path("runs/vae/vae"))
    parser.add_argument("--out", type=Path, default=Path("runs/vae/refined"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    preset = PRESETS[arguments.preset]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = np.load(arguments.data / "pictures.npy", mmap_mode="r")
    latents = np.load(arguments.data / "latents.npy", mmap_mode="r")  # [count, C, h, w]; may cover the first pictures only
    vae = AutoencoderKL.from_pretrained(arguments.vae).to(device, memory_format=torch.channels_last)
    decoder = torch.nn.ModuleList([vae.post_quant_conv, vae.decoder])
    optimiser = MuonAndAdamW(decoder, convolutions(decoder), MUON_LR, ADAMW_LR)
    step, spent = 0, 0.0

    checkpoint = arguments.out / "checkpoint.pt"
    if state := load_checkpoint(checkpoint):
        decoder.load_state_dict(state["decoder"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]

    def save():
        save_checkpoint(checkpoint, decoder=decoder.state_dict(), optimiser=optimiser.state_dict(), step=step, spent=budget.spent)
        vae.save_pretrained(arguments.out / "vae")

    budget, saved = Budget(arguments.minutes, spent), time.monotonic()
    interruption = Interruption()
    while budget.progress < 1 and not interruption:
        rng = np.random.default_rng([arguments.seed, step])
        torch.manual_seed(arguments.seed + 1_000_003 * step)
        picked = rng.integers(len(latents), size=preset.vae_batch)
        target = to_float(pictures[picked]).to(device, memory_format=torch.channels_last)
        latent = torch.from_numpy(latents[picked].astype(np.float32)).to(device)
        output = vae.decode(latent + JITTER * torch.randn_like(latent)).sample
        loss = reconstruction_loss(output, target)
        loss.backward()
        optimiser.step(trapezoid(budget.progress, step, WARM_UP))
        step += 1

        if step % 50 == 0:
            psnr = 10 * math.log10(4 / F.mse_loss(output.detach(), target).item())
            print(f"step {step}  loss {loss.item():.4f}  psnr {psnr:.1f} dB  minutes {budget.spent / 60:.1f}", flush=True)
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()

    save()
    print(f"{step} steps, autoencoder in {arguments.out / 'vae'}")


if __name__ == "__main__":
    main()
