"""Pictures of held-out prompts, drawn by the engine on the processor, in chunks that lie on disk.

A row that is interrupted goes on where it stopped. Each picture is a run of the program with one thread, and several run side by
side: any number of threads draws the same bytes.
"""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..program import says
from .rows import Row

CHUNK = 64  # pictures in a file


@dataclass(frozen=True)
class Engine:
    """The built program, how it draws, and how many pictures at a time."""

    program: Path
    guidance: float
    workers: int

    def one(self, row: Row, prompt: str, seed: int, out: Path) -> tuple[np.ndarray, list[str]]:
        """uint8 [S, S, 3], from the noise of this seed; and what the program warns of."""
        said = says(
            self.program, "generate", prompt, "--model", row.model, "--compress", row.policy, "--seed", seed, "--steps", row.steps,
            "--guidance", self.guidance, "--adapter", "cpu", "--threads", 1, "-o", out, *row.options(), of=f"{row.name}, {prompt!r}",
        )  # fmt: skip
        picture = np.asarray(Image.open(out).convert("RGB"))
        out.unlink()
        return picture, said["warnings"]

    def draw(self, row: Row, prompts: list[str], first_seed: int) -> tuple[np.ndarray, set[str]]:
        """uint8 [count, S, S, 3]; picture i starts from the noise of seed `first_seed + i`. And the warnings."""
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(self.workers) as pool:
            each = [pool.submit(self.one, row, prompt, first_seed + i, Path(folder) / f"{i}.png") for i, prompt in enumerate(prompts)]
            try:
                drawn, warnings = zip(*(picture.result() for picture in each))
                return np.stack(drawn), {warning for some in warnings for warning in some}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def pictures(engine: Engine, row: Row, folder: Path, prompts: list[str], seed: int) -> np.ndarray:
    """All of a row's pictures, those that are missing drawn now."""
    folder.mkdir(parents=True, exist_ok=True)
    started, drawn, warned = time.monotonic(), 0, set()
    for start in range(0, len(prompts), CHUNK):
        file, part = folder / f"{start:05}.npy", prompts[start : start + CHUNK]
        if file.exists() and len(np.load(file, mmap_mode="r")) == len(part):
            continue
        images, warnings = engine.draw(row, part, seed + start)
        for warning in sorted(warnings - warned):
            print(f"{row.name}: {warning}", flush=True)
        warned |= warnings
        partial = file.with_suffix(".partial.npy")
        np.save(partial, images)
        partial.replace(file)
        drawn += len(part)
        print(f"{row.name}: {start + len(part)} of {len(prompts)}, {(time.monotonic() - started) / drawn:.2f} s each", flush=True)
    return np.concatenate([np.load(folder / f"{start:05}.npy") for start in range(0, len(prompts), CHUNK)])
