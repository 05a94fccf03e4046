"""Turns the data set into what the transformer trains on:  python -m training.encode

Writes `latents.npy` f16 [count, C, h, w], normalised, and `tokens.npy` u16 [count, variants, TEXT_LENGTH], zero-padded: a
training step then costs the transformer and the text encoder only. Also `coverage.npy`, how often to show each picture.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import T5Tokenizer

from .presets import TEXT_LENGTH
from .scenes.scene import SIZES, sample_scene
from .train_vae import to_float


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> np.ndarray:
    vae = vae.to(device, memory_format=torch.channels_last)
    parts = []
    for start in range(0, len(pictures), 64):
        batch = to_float(pictures[start : start + 64]).to(device, memory_format=torch.channels_last)
        parts.append(vae.encode(batch).latent_dist.mean.half().cpu().numpy())
    return np.concatenate(parts) * vae.config.scaling_factor


def encode_captions(tokenizer: T5Tokenizer, captions: list[list[str]]) -> np.ndarray:
    flat = [caption.lower() for variants in captions for caption in variants]
    tokens = tokenizer(flat, padding="max_length", max_length=TEXT_LENGTH, truncation=True).input_ids
    return np.array(tokens, np.uint16).reshape(len(captions), -1, TEXT_LENGTH)


def coverage(seed: int, count: int) -> np.ndarray:
    """How much of each picture its things cover, f32 [count]: the transformer sees pictures that often.

    Backgrounds are learnt within minutes and shapes are not, so a picture that shows more of them is worth more.
    """
    scenes = (sample_scene(seed, index) for index in range(count))
    return np.array([sum(SIZES[thing.size] ** 2 for thing in scene.things) for scene in scenes], np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--vae", type=Path, default=Path("runs/vae/vae"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--data-seed", type=int, default=0, help="the seed the data set was drawn with")
    parser.add_argument("--count", type=int, help="encode only the first pictures")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = np.load(arguments.data / "pictures.npy", mmap_mode="r")[: arguments.count]
    captions = json.loads((arguments.data / "captions.json").read_text())[: arguments.count]
    latents = encode_pictures(AutoencoderKL.from_pretrained(arguments.vae).eval(), pictures, device)
    np.save(arguments.data / "latents.npy", latents)
    np.save(arguments.data / "tokens.npy", encode_captions(T5Tokenizer.from_pretrained(arguments.tokenizer), captions))
    np.save(arguments.data / "coverage.npy", coverage(arguments.data_seed, len(latents)))
    print(f"{len(latents)} latents {latents.shape[1:]}, mean {latents.mean(dtype=np.float32):.3f}, deviation {latents.std(dtype=np.float32):.3f}")


if __name__ == "__main__":
    main()
