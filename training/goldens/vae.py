"""`vae/`: the autoencoder alone, both ways, on sizes that are no powers of two and not square."""

from pathlib import Path

import torch

from . import models, store

# shift_factor, latents_mean and force_upcast are here because newer configs have them: decode() itself uses none of them,
# and neither do the DiT and PixArt pipelines, so a reader has to accept and ignore them.
NEWER = {
    "use_quant_conv": False, "use_post_quant_conv": False, "force_upcast": True, "shift_factor": 0.0609, "scaling_factor": 1.5305,
    "latents_mean": [0.1, -0.2, 0.3, 0.4], "latents_std": [1.1, 0.9, 1.2, 0.8],
}  # fmt: skip
CASES = {
    "one_level": ({"channels": (6,), "layers_per_block": 2}, (5, 7)),
    "two_levels": ({"channels": (4, 8)}, (5, 7)),
    "four_levels": ({"channels": (4, 4, 8, 6)}, (3, 5)),
    "newer_config": ({"channels": (4, 8), **NEWER}, (4, 6)),
    "no_attention": ({"channels": (4, 8), "mid_block_add_attention": False}, (6, 3)),
    "wide_latents": ({"channels": (4, 8), "latent_channels": 16}, (3, 4)),
}


def write(out: Path) -> None:
    for name, (config, (height, width)) in CASES.items():
        model = models.autoencoder(seed=31, **config)
        model.save_pretrained(out / name / "vae")
        factor = 2 ** (len(config["channels"]) - 1)
        generator = torch.Generator("cpu").manual_seed(32)
        latents = torch.randn((1, model.config.latent_channels, height, width), generator=generator)
        picture = 2 * torch.rand((1, 3, height * factor, width * factor), generator=generator) - 1
        with torch.no_grad():
            sample = model.decode(latents).sample
            posterior = model.encode(picture).latent_dist
        store.tensors(out / name / "inputs.safetensors", {"latents": latents, "picture": picture})
        expected = {"sample": sample, "mean": posterior.mean, "logvar": posterior.logvar}
        store.tensors(out / name / "expected.safetensors", expected)
        if name == "two_levels":
            tiled(out / name / "tiled.safetensors", model)
    store.document(out / "cases.json", [{"name": name, "set": config} for name, (config, _) in CASES.items()])


def tiled(path: Path, model) -> None:
    """Both ways in tiles of 8 latent pixels, on a size where no tile lies within the one before it."""
    model.enable_tiling()
    model.tile_latent_min_size, model.tile_sample_min_size = 8, 16
    generator = torch.Generator("cpu").manual_seed(33)
    latents = torch.randn((1, model.config.latent_channels, 21, 15), generator=generator)
    picture = 2 * torch.rand((1, 3, 42, 30), generator=generator) - 1
    with torch.no_grad():
        sample, mean = model.decode(latents).sample, model.encode(picture).latent_dist.mean
    store.tensors(path, {"latents": latents, "picture": picture, "sample": sample, "mean": mean})
