"""Draws a data set to disk, with all processors:  python -m training.scenes.dataset --count 30000

Writes `pictures.npy` uint8 [count, S, S, 3] and `captions.json`, a list of `variants` captions per picture.
"""

import argparse
import json
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from .draw import draw_scene
from .grammar import caption
from .scene import sample_scene


def example(index: int, seed: int, size: int, variants: int) -> tuple[np.ndarray, list[str]]:
    scene = sample_scene(seed, index)
    return draw_scene(scene, seed, index, size), [caption(scene, seed, index, v) for v in range(variants)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--variants", type=int, default=6, help="captions per picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/scenes"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    make = partial(example, seed=arguments.seed, size=arguments.size, variants=arguments.variants)
    with Pool() as pool:
        pictures, captions = zip(*pool.imap(make, range(arguments.count), chunksize=64))
    np.save(arguments.out / "pictures.npy", np.stack(pictures))
    (arguments.out / "captions.json").write_text(json.dumps(captions))
    print(f"{arguments.count} scenes of {arguments.size}×{arguments.size} in {arguments.out}")


if __name__ == "__main__":
    main()
