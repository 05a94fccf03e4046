"""Batches for fine-tuning a model folder: latents, and what the transformer wants beside them.

A data folder has `latents.npy` [count, C, h, w] and `tokens.npy` (training.encode) or, for class-conditional models,
`labels.npy` [count]. `coverage.npy`, how often to show each picture, may be missing.
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

    @torch.no_grad()
    def batch(self, step: int, size: int) -> tuple[torch.Tensor, dict]:
        latents, ids, mask = (tensor.to(self.device) for tensor in self.examples.batch(step, size))
        text = self.encoder(ids, attention_mask=mask).last_hidden_state
        conditions = {"encoder_hidden_states": text, "encoder_attention_mask": mask}
        return latents, conditions

    def extra(self, latents: torch.Tensor) -> dict:
        if not self.sized:
            return {}
        height, width = (float(side * self.pixels) for side in latents.shape[-2:])
        row = lambda *values: torch.tensor([values], device=self.device).repeat(len(latents), 1)
        return {"added_cond_kwargs": {"resolution": row(height, width), "aspect_ratio": row(height / width)}}


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
