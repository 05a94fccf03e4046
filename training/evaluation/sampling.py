"""Pictures of held-out prompts, in chunks that lie on disk: an interrupted row goes on where it stopped."""

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch

from ..diffcr import load_routed
from ..goldens import kv, merged
from ..goldens.cached import StepCache, cached
from .rows import Row

CHUNK, BATCH = 64, 16  # pictures in a file; pictures at a time, which fit a processor's cache
TEXT_LENGTH = 24  # longer than any caption of the grammar; what is padded is masked, so 300 would give the same pictures slower


def load(row: Row):
    policy, ratio = (row.policy, row.ratio) if row.policy in ("diffcr", "mod") else ("dense", None)
    pipeline = load_routed(row.model, policy=policy, ratio=ratio)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Unwatched:
    """What the goldens' programs run under in place of a Capture: knows the step, keeps nothing."""

    def __init__(self, steps: int):
        self.steps, self.step = steps, 0

    def __setitem__(self, name, value):
        pass

    def count(self, *_):
        self.step += 1


@contextmanager
def compressed(row: Row, transformer, steps: int):
    """For the pictures of one call: what policies carry from step to step starts anew with each."""
    seen = Unwatched(steps)
    with ExitStack() as stack:
        if row.policy in ("sdtm", "tome"):
            stack.enter_context(merged.merged(transformer, {"compress": row.policy, "ratio": row.ratio, "set": row.set}, seen))
        elif row.policy == "kv":
            stack.enter_context(pooled(row, transformer))
        if row.step_cache:
            stack.enter_context(cached(transformer, StepCache.read(row.step_cache), seen))
        stack.callback(transformer.register_forward_hook(seen.count).remove)
        yield


def pooled(row: Row, transformer):
    count = len(transformer.transformer_blocks)
    first, last = map(int, row.set.get("layers", f"{count // 2}-{count - 1}").split("-"))
    layers = list(range(first, last + 1))
    config = {"sampling": row.set.get("sampling", "average"), "scale_factor": int(row.set.get("stride", 2)), "kv_compress_layer": layers}
    return kv.compressed(transformer, config, dict.fromkeys(layers, {}))


@torch.inference_mode()
def draw(row: Row, pipeline, prompts: list[str], first_seed: int, steps: int, guidance: float) -> np.ndarray:
    """uint8 [count, S, S, 3]; picture i starts from the noise of seed `first_seed + i`, as the engine's would."""
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    parts = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        with compressed(row, pipeline.transformer, steps):
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
        images = draw(row, pipeline, part, seed + start, steps, guidance)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, images)
        partial.replace(file)
        drawn += len(part)
        print(f"{row.name}: {start + len(part)} of {len(prompts)}, {(time.monotonic() - started) / drawn:.2f} s each", flush=True)
    return np.concatenate([np.load(folder / f"{start:05}.npy") for start in range(0, len(prompts), CHUNK)])
