"""A network and scenes so small that tests may train on them: 8 × 8 tokens of 2 × 2 latent cells."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel

COUNT = 96


def network(layers: int) -> PixArtTransformer2DModel:
    """With the text encoder of `assets/scenes` before it."""
    torch.manual_seed(0)
    return PixArtTransformer2DModel(
        num_layers=layers, num_attention_heads=2, attention_head_dim=16, sample_size=16, out_channels=4,
        cross_attention_dim=32, caption_channels=128, use_additional_conditions=False,
    )  # fmt: skip


def autoencoder() -> AutoencoderKL:
    """4 pixels to a latent pixel, as the bundle's."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, block_out_channels=(8, 8, 8),
        norm_num_groups=4, latent_channels=4, scaling_factor=1.0, layers_per_block=1,
    ).eval()  # fmt: skip


def command(module, monkeypatch, *words) -> None:
    """Runs a program with these words."""
    monkeypatch.setattr("sys.argv", ["command", *map(str, words)])
    module.main()


def scenes(folder: Path, channels: slice, strength: float) -> None:
    """Noise, in which the thing, at the tokens from row and column 2 to 4, is strong in some channels."""
    rng = np.random.default_rng(0)
    covered = np.zeros((COUNT, 2, 8, 8), np.uint8)
    covered[:, 0, 2:5, 2:5] = 255
    latents = 0.1 * rng.normal(size=(COUNT, 4, 16, 16))
    latents[:, channels, 4:10, 4:10] += strength
    tokens = np.zeros((COUNT, 1, 32), np.uint16)
    tokens[:, :, :5] = 1
    for name, value in (("latents", latents.astype(np.float16)), ("tokens", tokens), ("covered", covered), ("labels", np.zeros((COUNT, 5), np.uint8))):
        np.save(folder / f"{name}.npy", value)
