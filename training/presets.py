"""Sizes. `cpu` is the bundled model; `gpu` is the same recipe with a wider network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    picture: int  # pixels along an edge
    vae_channels: tuple[int, ...]  # one entry per resolution; each but the last halves the picture
    latent_channels: int
    width: int
    heads: int
    depth: int
    text_width: int
    text_depth: int
    vocabulary: int
    batch: int
    vae_batch: int

    @property
    def latent(self) -> int:
        """Latent cells along an edge."""
        return self.picture >> (len(self.vae_channels) - 1)


PRESETS = {
    "cpu": Preset(
        picture=128, vae_channels=(16, 32, 64), latent_channels=4, width=192, heads=6, depth=10,
        text_width=128, text_depth=2, vocabulary=256, batch=24, vae_batch=16,
    ),
    "gpu": Preset(
        picture=128, vae_channels=(32, 64, 96), latent_channels=4, width=256, heads=8, depth=10,
        text_width=192, text_depth=3, vocabulary=256, batch=256, vae_batch=64,
    ),
}  # fmt: skip

TEXT_LENGTH = 32  # tokens a caption may take in training; the pipeline pads to 300, which the mask makes equivalent
PATCH = 2  # latent cells along a token's edge
