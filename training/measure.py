"""Figures of a finished bundle on scenes it has not seen:  python -m training.measure --model assets/scenes-dense

The autoencoder's PSNR, and the error of the predicted latents at several noise levels when the caption is true, names another
kind, names another colour, or is empty. How much a wrong word costs is how much the model listens to it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import PixArtSigmaPipeline

from .diffusion import Objective
from .scenes.draw import draw_scene
from .scenes.scene import COLOURS, KINDS, Scene, sample_scene
from .train_vae import to_float

HELD_OUT = 1_000_003  # the seed of the scenes measured on; training uses small ones
TAUS = (0.95, 0.85, 0.75, 0.6, 0.45, 0.3)


def describe(scene: Scene, index: int, change: str) -> str:
    """A plain caption of a one-thing scene, with one word exchanged."""
    thing = scene.things[0]
    other = lambda options, value: [option for option in options if option != value][index % (len(options) - 1)]
    if change == "kind":
        thing = replace(thing, kind=other(KINDS, thing.kind))
    if change == "colour":
        thing = replace(thing, colour=other(tuple(COLOURS), thing.colour))
    article = "an" if thing.colour == "orange" else "a"
    size = "" if thing.size == "medium" else f" {thing.size}"
    return "" if change == "empty" else f"{article if not size else 'a'}{size} {thing.colour} {thing.kind}"


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes-dense"))
    parser.add_argument("--count", type=int, default=128)
    arguments = parser.parse_args()

    pipeline = PixArtSigmaPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    size = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    scenes = [(i, sample_scene(HELD_OUT, i)) for i in range(3 * arguments.count)]
    scenes = [(i, scene) for i, scene in scenes if len(scene.things) == 1][: arguments.count]
    pictures = to_float(np.stack([draw_scene(scene, HELD_OUT, i, size) for i, scene in scenes]))  # [B, 3, S, S]

    latents = pipeline.vae.encode(pictures).latent_dist.mean
    error = (pipeline.vae.decode(latents).sample.clamp(-1, 1) - pictures).pow(2).mean((1, 2, 3))
    print(f"autoencoder: PSNR {(10 * (4 / error).log10()).mean():.2f} dB over {len(scenes)} unseen scenes")

    latents = latents * pipeline.vae.config.scaling_factor
    objective, noise = Objective(pipeline.scheduler), torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    texts = {}
    for change in ("none", "kind", "colour", "empty"):
        tokens = pipeline.tokenizer([describe(scene, i, change) for i, scene in scenes], padding=True, return_tensors="pt")
        texts[change] = pipeline.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state, tokens.attention_mask

    print("mean squared error of the predicted latents\n  tau    true caption   other kind   other colour   empty")
    for tau in TAUS:
        timesteps = torch.searchsorted(objective.tau, torch.tensor(tau)).expand(len(latents))
        noisy = objective.add_noise(latents, noise, timesteps)
        errors = []
        for text, mask in texts.values():
            predicted = pipeline.transformer(
                noisy, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=timesteps, return_dict=False
            )[0]
            errors.append((predicted - latents).pow(2).mean().item())
        print(f"  {tau:<6} {errors[0]:<14.4f} " + " ".join(f"{100 * (e / errors[0] - 1):+11.1f}%" for e in errors[1:]))


if __name__ == "__main__":
    main()
