"""The classifier that judges pictures of scenes:  python -m training.train_classifier --minutes 8

`--size 64` makes one that looks at pictures reduced to 64 pixels: it learns faster, and can follow a run at either size. `--things 2`
makes one that looks at the halves of pictures with two things (evaluation/pairs.py).

Learns object, colour and place of scenes drawn with a seed of its own. Half of the pictures go through the bundle's autoencoder and
back, for the pictures it will judge come out of that decoder.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import itertools
import json
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from .evaluation.classifier import HEADS, Classifier, look, save
from .evaluation.pairs import halves
from .evaluation.prompts import truth
from .measure import HELD_OUT
from .presets import PRESETS
from .runtime import Budget, progress
from .scenes.draw import draw_scene
from .scenes.scene import sample_scene
from .train_vae import to_float

SEED = 5_000_011  # of the scenes learnt from: neither the transformer's nor those measured on
BATCH, RATE = 64, 2e-3


def draw_one(index: int, seed: int, size: int) -> np.ndarray:
    return draw_scene(sample_scene(seed, index), seed, index, size)


def draw_scenes(seed: int, count: int, size: int, things: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Pictures [count, 3, S, S] uint8 of the first scenes with so many things, and the index each head should say of each [count, things]."""
    found, wanted = [], {name: [] for name in HEADS}
    for index in itertools.count():
        scene = sample_scene(seed, index)
        if len(scene.things) == things:
            found.append(index)
            facts = [truth(scene, thing) for thing in range(things)]
            for name, values in HEADS.items():
                wanted[name].append([values.index(fact[name]) for fact in facts])
        if len(found) == count:
            break
    with get_context("spawn").Pool() as pool:
        drawn = pool.imap(partial(draw_one, seed=seed, size=size), found, chunksize=64)
        pictures = np.stack(list(progress(drawn, count, "scenes")))
    return torch.from_numpy(pictures).permute(0, 3, 1, 2), {name: torch.tensor(values) for name, values in wanted.items()}


def of_one_thing(pictures: torch.Tensor, wanted: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What is learnt from: pictures of one thing as they are, halves of those with two."""
    if wanted["object"].shape[1] == 2:
        pictures = halves(pictures).flatten(0, 1)
    return pictures, {name: values.flatten() for name, values in wanted.items()}


@torch.inference_mode()
def through(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to uint8: encoded and decoded, as near as a sample could ever come to these pictures."""
    parts = []
    for part in pictures.split(64):
        latents = vae.encode(to_float(part.permute(0, 2, 3, 1).numpy())).latent_dist.mean
        parts.append(((vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5).round().byte())
    return torch.cat(parts)


def normal(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float() / 127.5 - 1


def augment(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirrored, and moved by up to 4 pixels: what a picture shows stays the same."""
    if torch.rand((), generator=generator) < 0.5:
        pictures = pictures.flip(-1)
    across, down = torch.randint(0, 9, (2,), generator=generator).tolist()
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (4, 4, 4, 4), mode="reflect")[..., down : down + height, across : across + width]


def accuracy(model: Classifier, pictures: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict[str, float]:
    seen = look(model.eval(), normal(pictures))[1]
    right = {name: seen[name] == wanted[name] for name in HEADS}
    right["all"] = torch.stack(list(right.values())).all(0)
    return {name: round(value.float().mean().item(), 4) for name, value in right.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, default=Path("assets/scenes/vae"))
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=PRESETS["cpu"].picture)
    parser.add_argument("--things", type=int, choices=(1, 2), default=1, help="of a scene; 2 learns from the halves of its pictures")
    parser.add_argument("--minutes", type=float, default=8, help="of training, after the drawing")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="default: runs/classifier, and for two things runs/classifier/pairs")
    arguments = parser.parse_args()
    out = arguments.out or Path("runs/classifier", *["pairs"] * (arguments.things == 2))
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    vae = AutoencoderKL.from_pretrained(arguments.vae, dtype=torch.float32)
    pictures, wanted = draw_scenes(SEED, arguments.count, arguments.size, arguments.things)
    pictures[::2] = through(vae, pictures[::2])
    pictures, wanted = of_one_thing(pictures, wanted)
    print(f"{arguments.count} scenes, half of them through the autoencoder", flush=True)

    model = Classifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    budget, steps, average = Budget(arguments.minutes), 0, 0.0
    while budget.progress < 1:
        for batch in torch.randperm(len(pictures), generator=generator).split(BATCH):
            # A line down to nothing, after a short start: the last steps settle.
            optimizer.param_groups[0]["lr"] = RATE * min(1, (steps + 1) / 100) * max(0.0, 1 - budget.progress)
            logits = model.train()(augment(normal(pictures[batch]), generator))
            loss = sum(F.cross_entropy(logits[name], wanted[name][batch], label_smoothing=0.05) for name in HEADS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps, average = steps + 1, 0.99 * average + 0.01 * loss.item()
            if steps % 100 == 0:
                print(f"{budget.spent / 60:5.1f} min  step {steps}  loss {average:.3f}", flush=True)
            if budget.progress >= 1:
                break

    unseen, wanted = draw_scenes(HELD_OUT, 2000, arguments.size, arguments.things)
    judged = lambda pictures: accuracy(model, *of_one_thing(pictures, wanted))
    report = {"steps": steps, "drawn": judged(unseen), "decoded": judged(through(vae, unseen))}
    save(model, out / "classifier.safetensors")
    (out / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"accuracy on 2000 unseen scenes, as drawn: {report['drawn']}\nthe same through the autoencoder: {report['decoded']}")


if __name__ == "__main__":
    main()
