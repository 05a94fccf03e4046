"""Draws a data set to disk, with all processors:  python -m training.scenes.dataset --count 60000

Writes `pictures.npy` uint8 [count, S, S, 3] and `captions.json`, a list of `variants` captions per picture. A picture depends on
(seed, index) alone, so a larger `--count` adds pictures to those there are and draws none anew.
"""

import argparse
import json
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ..presets import PRESETS
from ..runtime import progress
from .draw import draw_scene
from .grammar import caption
from .scene import sample_scene


def example(index: int, seed: int, size: int, variants: int) -> tuple[np.ndarray, list[str]]:
    scene = sample_scene(seed, index)
    return draw_scene(scene, seed, index, size), [caption(scene, seed, index, v) for v in range(variants)]


def drawn_already(folder: Path, wanted: dict) -> int:
    """How many of the wanted pictures lie in the folder."""
    described = folder / "scenes.json"
    if not described.exists():
        return 0
    known = json.loads(described.read_text())
    return known.pop("count") if {key: known[key] for key in wanted} == wanted else 0


def grow(path: Path, shape: tuple[int, ...], kept: int) -> np.memmap:
    """A uint8 array on disk with the first `kept` rows of the one at `path`."""
    partial_path = path.with_suffix(".partial.npy")
    array = open_memmap(partial_path, mode="w+", dtype=np.uint8, shape=shape)
    if kept:
        array[:kept] = np.load(path, mmap_mode="r")[:kept]
    return array


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
    size = arguments.size or PRESETS[arguments.preset].picture

    wanted = {"seed": arguments.seed, "size": size, "variants": arguments.variants}
    kept = min(drawn_already(arguments.out, wanted), arguments.count)
    captions = json.loads((arguments.out / "captions.json").read_text())[:kept] if kept else []
    pictures = grow(arguments.out / "pictures.npy", (arguments.count, size, size, 3), kept)
    with Pool(arguments.workers) as pool:
        drawn = pool.imap(partial(example, **wanted), range(kept, arguments.count), chunksize=64)
        for index, (picture, variants) in enumerate(progress(drawn, arguments.count - kept, "scenes"), kept):
            pictures[index] = picture
            captions.append(variants)
    pictures.flush()
    (arguments.out / "pictures.partial.npy").replace(arguments.out / "pictures.npy")
    (arguments.out / "captions.json").write_text(json.dumps(captions))
    (arguments.out / "scenes.json").write_text(json.dumps(wanted | {"count": arguments.count}) + "\n")
    print(f"{arguments.count} scenes of {size}×{size} in {arguments.out}, {kept} of them drawn before")


if __name__ == "__main__":
    main()
