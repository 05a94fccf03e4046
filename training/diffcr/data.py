"""Batches for fine-tuning a model folder: latents, and what the transformer wants beside them.

A data folder has `latents.npy` [count, C, h, w] and `tokens.npy` (training.encode) or, for class-conditional models,
`labels.npy` [count]. `coverage.npy`, how often to show each picture, may be missing. A model with mask channels also wants `anew.npy`
and `rest.npy` (training.encode --inpaint).
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import DiTTransformer2DModel

from ..train_dit import CAPTION_DROPOUT, Examples


class Captioned:
    """For PixArt: a frozen text encoder turns token ids into [B, S, D]."""

    def __init__(self, pipeline, folder: Path, seed: int, device: str):
        self.examples, self.device = Examples(folder, seed), device
        self.encoder = pipeline.text_encoder.to(device).eval().requires_grad_(False)
        # PixArt-α at 1024² also wants the picture's size.
        self.sized = pipeline.transformer.config.use_additional_conditions or False
        self.pixels = pipeline.vae_scale_factor
        channels = self.examples.latents.shape[1]
        self.shown = Shown(folder) if pipeline.transformer.config.in_channels == 2 * channels + 1 else None

    @torch.no_grad()
    def batch(self, step: int, size: int) -> tuple[torch.Tensor, dict]:
        latents, ids, mask = (tensor.to(self.device) for tensor in self.examples.batch(step, size))
        text = self.encoder(ids, attention_mask=mask).last_hidden_state
        conditions = {"encoder_hidden_states": text, "encoder_attention_mask": mask}
        if self.shown:
            conditions["shown"] = self.shown.of(self.examples.picked(step, size)[0]).to(self.device)
        return latents, conditions

    def extra(self, latents: torch.Tensor) -> dict:
        if not self.sized:
            return {}
        height, width = (float(side * self.pixels) for side in latents.shape[-2:])
        row = lambda *values: torch.tensor([values], device=self.device).repeat(len(latents), 1)
        return {"added_cond_kwargs": {"resolution": row(height, width), "aspect_ratio": row(height / width)}}


class Shown:
    """What a model with mask channels sees behind the noise: where it draws anew, and the latents of the rest."""

    def __init__(self, folder: Path):
        if not (folder / "rest.npy").exists():
            raise SystemExit(f"{folder} has no rest.npy, which a model with mask channels is shown: python -m training.encode --inpaint")
        self.anew, self.rest = (np.load(folder / name, mmap_mode="r") for name in ("anew.npy", "rest.npy"))

    def of(self, picked: np.ndarray) -> torch.Tensor:
        """[B, 1 + C, h, w]."""
        parts = (self.anew[picked][:, None], self.rest[picked])
        return torch.cat([torch.from_numpy(part.astype(np.float32)) for part in parts], 1)


class Labelled:
    """For DiT: one in ten labels becomes the class of "no class"."""

    def __init__(self, pipeline, folder: Path, seed: int, device: str):
        self.latents, self.labels = np.load(folder / "latents.npy", mmap_mode="r"), np.load(folder / "labels.npy")
        self.seed, self.device, self.no_class = seed, device, pipeline.transformer.config.num_embeds_ada_norm

    def batch(self, step: int, size: int) -> tuple[torch.Tensor, dict]:
        rng = np.random.default_rng([self.seed, step])
        picked = rng.integers(len(self.latents), size=size)
        labels = np.where(rng.random(size) < CAPTION_DROPOUT, self.no_class, self.labels[picked].astype(np.int64))
        latents = torch.from_numpy(self.latents[picked].astype(np.float32)).to(self.device)
        return latents, {"class_labels": torch.from_numpy(labels).to(self.device)}

    def extra(self, latents: torch.Tensor) -> dict:
        return {}


def open_data(pipeline, folder: Path, seed: int, device: str):
    kind = Labelled if isinstance(pipeline.transformer, DiTTransformer2DModel) else Captioned
    return kind(pipeline, folder, seed, device)


def predict(transformer, data, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: dict) -> torch.Tensor:
    """What the transformer makes of noisy latents [B, C, h, w] and of a batch's conditions, without a learned sigma."""
    words = conditions | data.extra(noisy) | {"timestep": timesteps.to(noisy.device)}
    shown = words.pop("shown", None)
    seen = noisy if shown is None else torch.cat([noisy, shown], 1)
    return transformer(seen, **words, return_dict=False)[0][:, : noisy.shape[1]]
