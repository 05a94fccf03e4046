"""Turns the data set into what the transformer trains on:  python -m training.encode --size 64 --out runs/scenes/64

Writes `latents.npy` f16 [count, C, h, w], normalised, and `tokens.npy` u16 [count, variants, TEXT_LENGTH], zero-padded: a
training step then costs the transformer and the text encoder only. Also `coverage.npy`, how often to show each picture, and
`labels.npy` with `covered.npy`, what is to be seen in which token. `--size` encodes the pictures reduced to fewer pixels: fewer tokens.

`--inpaint` adds what a model with mask channels is shown: `anew.npy` uint8 [count, h, w], 1 where it draws anew, one mask a picture
(scenes/masks.py), and `rest.npy` f16 [count, C, h, w], the latents of the picture with those pixels grey.

A picture that was encoded before is left alone, so a data set that has grown costs the new pictures only.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option() or 1)

import argparse
import hashlib
import json
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import T5Tokenizer

from .presets import PATCH, TEXT_LENGTH
from .runtime import progress
from .scenes.dataset import grow, replace
from .scenes.masks import draw_mask
from .scenes.scene import COLOURS, INTERIORS, KINDS, LANDSCAPES, SIZES, sample_scene
from .train_vae import to_float

PART = 64  # pictures a worker takes at a time
BATCH = 8  # pictures at a time, which fit a processor's cache


def reduced(pictures: np.ndarray, size: int) -> np.ndarray:
    """uint8 [B, S, S, 3] → [B, size, size, 3], each pixel the mean of those it stands for."""
    factor = pictures.shape[1] // size
    if factor == 1:
        return pictures
    total = sum(pictures[:, i::factor, j::factor].astype(np.uint16) for i in range(factor) for j in range(factor))
    return ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)


@torch.inference_mode()
def encode_pictures(vae: AutoencoderKL, pictures: np.ndarray, device: str, batch: int = BATCH, anew: np.ndarray | None = None) -> np.ndarray:
    """uint8 [B, S, S, 3] → f16 [B, C, h, w], normalised; pixels where `anew` [B, S, S] is true are grey, as diffusers has them."""
    parts = []
    for start in range(0, len(pictures), batch):
        part = to_float(pictures[start : start + batch])
        if anew is not None:
            part = part * torch.from_numpy(~anew[start : start + batch])[:, None]
        part = part.to(device, memory_format=torch.channels_last)
        parts.append(vae.encode(part).latent_dist.mean.half().cpu().numpy())
    return np.concatenate(parts) * vae.config.scaling_factor


def open_worker(vae: Path, data: Path, size: int, device: str, seed: int) -> None:
    global _vae, _pictures, _size, _device, _seed
    torch.set_num_threads(1)
    _vae = AutoencoderKL.from_pretrained(vae, dtype=torch.float32).eval().to(device, memory_format=torch.channels_last)
    _pictures, _size, _device, _seed = np.load(data / "pictures.npy", mmap_mode="r"), size, device, seed


def encode_part(start: int, without_masked: bool = False) -> np.ndarray:
    part = reduced(_pictures[start : start + PART], _size)
    anew = np.stack([draw_mask(_seed, start + i, _size) for i in range(len(part))]) if without_masked else None
    return encode_pictures(_vae, part, _device, 256 if _device == "cuda" else BATCH, anew)


def fingerprint(vae: AutoencoderKL) -> str:
    """Of the encoder alone: latents stay as they are when the decoder learns further."""
    digest = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(value.float().numpy().tobytes())
    return digest.hexdigest()[:16]


def encode_captions(tokenizer: T5Tokenizer, captions: list[list[str]]) -> np.ndarray:
    flat = [caption.lower() for variants in captions for caption in variants]
    tokens = tokenizer(flat, padding="max_length", max_length=TEXT_LENGTH, truncation=True).input_ids
    return np.array(tokens, np.uint16).reshape(len(captions), -1, TEXT_LENGTH)


def coverage(seed: int, count: int) -> np.ndarray:
    """How much of each picture its things cover, f32 [count]: the transformer sees pictures that often.

    Backgrounds are learnt within minutes and shapes are not, so a picture that shows more of them is worth more.
    """
    scenes = (sample_scene(seed, index) for index in range(count))
    return np.array([sum(SIZES[thing.size] ** 2 for thing in scene.things) for scene in scenes], np.float32)


def labels(seed: int, count: int) -> np.ndarray:
    """uint8 [count, 5]: kind and colour of the first thing, of the second, and the place. A second thing that is not there is 255."""
    rows = np.full((count, 5), 255, np.uint8)
    for row, scene in zip(rows, (sample_scene(seed, index) for index in range(count))):
        for i, thing in enumerate(scene.things):
            row[2 * i : 2 * i + 2] = KINDS.index(thing.kind), list(COLOURS).index(thing.colour)
        row[4] = (LANDSCAPES + INTERIORS).index(scene.background)
    return rows


def encode_all(out: Path, name: str, wanted: dict, shape: tuple[int, ...], pool, encode) -> tuple[np.ndarray, int]:
    """`name`.npy, encoded in parts by the pool, and how many of its pictures were there before, made in the `wanted` way."""
    described, count = out / f"{name}.json", shape[0]
    known = json.loads(described.read_text()) if described.exists() else {}
    kept = min(known.pop("count", 0), count) if {key: known.get(key) for key in wanted} == wanted else 0
    kept -= kept % PART  # parts start at multiples, so that nothing is counted twice
    array, starts = grow(out / f"{name}.npy", shape, kept, np.float16), range(kept, count, PART)
    for start, part in zip(starts, progress(pool.imap(encode, starts), len(starts), f"parts of {PART} pictures, {name}")):
        part = part[: count - start]
        array[start : start + len(part)] = part
    replace(out / f"{name}.npy", array)
    described.write_text(json.dumps(wanted | {"count": count}) + "\n")
    return array, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--vae", type=Path, default=Path("runs/vae/vae"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--size", type=int, help="pixels along an edge to reduce the pictures to")
    parser.add_argument("--inpaint", action="store_true", help="also what a model with mask channels is shown")
    parser.add_argument("--count", type=int, help="encode only the first pictures")
    parser.add_argument("--workers", type=int, help="processes; --threads of them, or 1, if left out")
    parser.add_argument("--threads", type=int, help="the same, by its usual name")
    parser.add_argument("--out", type=Path, help="the data set's own folder if left out")
    arguments = parser.parse_args()
    out = arguments.out or arguments.data
    out.mkdir(parents=True, exist_ok=True)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = np.load(arguments.data / "pictures.npy", mmap_mode="r")[: arguments.count]
    count, size = len(pictures), arguments.size or pictures.shape[1]
    vae = AutoencoderKL.from_pretrained(arguments.vae, dtype=torch.float32)
    side = size >> (len(vae.config.block_out_channels) - 1)

    seed = json.loads((arguments.data / "scenes.json").read_text())["seed"]
    wanted, shape = {"encoder": fingerprint(vae), "size": size, "seed": seed}, (count, vae.config.latent_channels, side, side)
    with get_context("spawn").Pool(
        arguments.workers or arguments.threads or 1, open_worker, (arguments.vae, arguments.data, size, device, seed)
    ) as pool:
        latents, kept = encode_all(out, "latents", wanted, shape, pool, encode_part)
        if arguments.inpaint:
            encode_all(out, "rest", wanted, shape, pool, partial(encode_part, without_masked=True))
    if arguments.inpaint:
        factor = size // side  # the nearest pixel of each latent one, as diffusers takes it
        np.save(out / "anew.npy", np.stack([draw_mask(seed, index, size)[::factor, ::factor] for index in range(count)]).astype(np.uint8))

    captions = json.loads((arguments.data / "captions.json").read_text())[:count]
    np.save(out / "tokens.npy", encode_captions(T5Tokenizer.from_pretrained(arguments.tokenizer), captions))
    np.save(out / "coverage.npy", coverage(seed, count))
    np.save(out / "labels.npy", labels(seed, count))
    masks, cells = np.load(arguments.data / "masks.npy", mmap_mode="r")[:count], side // PATCH  # [count, 2, cells, cells]
    share = masks.shape[-1] // cells
    np.save(out / "covered.npy", masks.reshape(count, 2, cells, share, cells, share).mean((3, 5)).round().astype(np.uint8))
    print(f"{count} latents {latents.shape[1:]}, {kept} of them encoded before; mean {latents[:4096].mean(dtype=np.float32):.3f}, deviation {latents[:4096].std(dtype=np.float32):.3f}")


if __name__ == "__main__":
    main()
