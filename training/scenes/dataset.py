"""Draws a data set to disk, with all processors:  python -m training.scenes.dataset --count 60000

Writes `pictures.npy` uint8 [count, S, S, 3], `captions.json`, a list of `variants` captions per picture, and `masks.npy` uint8
[count, 2, cells, cells], how much of each token's cell each thing covers (255 is all of it). A picture depends on (seed, index)
alone, so a larger `--count` adds pictures to those there are and draws none anew.
"""

import argparse
import json
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ..presets import PATCH, PRESETS
from ..runtime import progress
from .draw import draw_with_masks
from .grammar import caption
from .scene import sample_scene


def example(index: int, seed: int, size: int, variants: int, cells: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    scene = sample_scene(seed, index)
    picture, masks = draw_with_masks(scene, seed, index, size, cells)
    return picture, masks, [caption(scene, seed, index, v) for v in range(variants)]


def drawn_already(folder: Path, wanted: dict) -> int:
    """How many of the wanted pictures lie in the folder."""
    described = folder / "scenes.json"
    if not described.exists():
        return 0
    known = json.loads(described.read_text())
    return known["count"] if {key: known[key] for key in wanted} == wanted else 0


def grow(path: Path, shape: tuple[int, ...], kept: int, dtype=np.uint8) -> np.memmap:
    """An array on disk with the first `kept` rows of the one at `path`, beside it until `replace` puts it there."""
    array = open_memmap(path.with_suffix(".partial.npy"), mode="w+", dtype=dtype, shape=shape)
    if kept:
        array[:kept] = np.load(path, mmap_mode="r")[:kept]
    return array


def replace(path: Path, array: np.memmap) -> None:
    array.flush()
    path.with_suffix(".partial.npy").replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--size", type=int, help="pixels along an edge; the preset's if left out")
    parser.add_argument("--variants", type=int, default=6, help="captions per picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; one per processor if left out")
    parser.add_argument("--out", type=Path, default=Path("runs/scenes"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    preset = PRESETS[arguments.preset]
    size = arguments.size or preset.picture
    cells = size * preset.latent // preset.picture // PATCH

    wanted = {"seed": arguments.seed, "size": size, "variants": arguments.variants, "cells": cells}
    kept = min(drawn_already(arguments.out, wanted), arguments.count)
    captions = json.loads((arguments.out / "captions.json").read_text())[:kept] if kept else []
    pictures = grow(arguments.out / "pictures.npy", (arguments.count, size, size, 3), kept)
    masks = grow(arguments.out / "masks.npy", (arguments.count, 2, cells, cells), kept)
    with Pool(arguments.workers) as pool:
        drawn = pool.imap(partial(example, **wanted), range(kept, arguments.count), chunksize=64)
        for index, (picture, mask, variants) in enumerate(progress(drawn, arguments.count - kept, "scenes"), kept):
            pictures[index], masks[index] = picture, mask
            captions.append(variants)
    replace(arguments.out / "pictures.npy", pictures)
    replace(arguments.out / "masks.npy", masks)
    (arguments.out / "captions.json").write_text(json.dumps(captions))
    (arguments.out / "scenes.json").write_text(json.dumps(wanted | {"count": arguments.count}) + "\n")
    print(f"{arguments.count} scenes of {size}×{size} in {arguments.out}, {kept} of them drawn before")


if __name__ == "__main__":
    main()
