"""Pictures of held-out prompts, in chunks that lie on disk: an interrupted row goes on where it stopped."""

import time
from pathlib import Path

import numpy as np
import torch

from ..diffcr import load_routed
from .rows import Row

CHUNK, BATCH = 64, 16  # pictures in a file; pictures at a time, which fit a processor's cache
TEXT_LENGTH = 24  # longer than any caption of the grammar; what is padded is masked, so 300 would give the same pictures slower


def load(row: Row):
    pipeline = load_routed(row.model, policy=row.policy, ratio=row.ratio)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.inference_mode()
def draw(pipeline, prompts: list[str], first_seed: int, steps: int, guidance: float) -> np.ndarray:
    """uint8 [count, S, S, 3]; picture i starts from the noise of seed `first_seed + i`, as the engine's would."""
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    parts = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        images = pipeline(
            batch, height=side, width=side, num_inference_steps=steps, guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(first_seed + start + i) for i in range(len(batch))],
            max_sequence_length=TEXT_LENGTH, use_resolution_binning=False, clean_caption=False, output_type="np",
        ).images  # fmt: skip
        parts.append((images * 255).round().astype(np.uint8))
    return np.concatenate(parts)


def pictures(row: Row, folder: Path, prompts: list[str], seed: int, steps: int, guidance: float) -> np.ndarray:
    """All of a row's pictures, those that are missing drawn now."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline, started, drawn = None, time.monotonic(), 0
    for start in range(0, len(prompts), CHUNK):
        file, part = folder / f"{start:05}.npy", prompts[start : start + CHUNK]
        if file.exists() and len(np.load(file, mmap_mode="r")) == len(part):
            continue
        pipeline = pipeline or load(row)
        images = draw(pipeline, part, seed + start, steps, guidance)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, images)
        partial.replace(file)
        drawn += len(part)
        print(f"{row.name}: {start + len(part)} of {len(prompts)}, {(time.monotonic() - started) / drawn:.2f} s each", flush=True)
    return np.concatenate([np.load(folder / f"{start:05}.npy") for start in range(0, len(prompts), CHUNK)])
