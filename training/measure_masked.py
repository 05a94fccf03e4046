"""What masked compute costs in quality and saves in work:  python -m training.measure_masked --bin target/release/foveate

The engine draws another thing into held-out scenes: the prompt names it, and a box around the old thing is the mask. Each box is drawn by
full compute and by masked compute, from the same noise. A row is a share of the picture and a way to compute, and has

- *error*: of the pixels under the mask against full compute with the same policy, relative L2;
- *of the decoder alone*: the same of a run whose steps are all whole and whose decoder alone follows the mask, by halo in latent pixels (dense alone);
- *step at the edge*: the mean difference between neighbours across the mask's edge, in 255ths, and that of full compute;
- *FD-scenes under the mask*: of what the judge sees in the box, against the same boxes of the scenes with the other thing as their program
  draws them; from 64 pictures on, for fewer say nothing, and comparable between rows of equally many;
- *right*: the judge's accuracy (training.train_classifier), where the box holds the thing;
- FLOPs of a step against the dense step, and the time of steps and of decoding against full compute: the median of the pictures' ratios.

With `--class N` a model of classes draws the class; its weights may be random, where only work and error are asked for. The judge sees
pictures reduced to its size. Everything is drawn on the processor with one thread.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import tempfile
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from .evaluation import classifier
from .evaluation.frechet import distance, gaussian, spread
from .evaluation.prompts import truth
from .evaluation.quality import features, to_torch
from .measure import HELD_OUT
from .program import BUILT, says
from .scenes.draw import draw_with_masks
from .scenes.grammar import caption
from .scenes.scene import COLOURS, KINDS, Scene, sample_scene

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
CELLS = 16  # along an edge: how finely the place of a thing is known
FEW = 64  # pictures, below which no distance is told


@dataclass
class Row:
    """One share of the picture, one way to compute it: a figure for each picture."""

    error: list = field(default_factory=list)
    decode: dict = field(default_factory=dict)  # by halo
    edge: list = field(default_factory=list)
    crops: list = field(default_factory=list)  # uint8 [S, S, 3] of the box, as large as the judge's pictures
    right: list = field(default_factory=list)
    flops: list = field(default_factory=list)
    seconds: list = field(default_factory=list)  # of steps and of decoding


@dataclass
class Given:
    """What is known of one share of the picture without drawing, of each picture."""

    edge: list = field(default_factory=list)  # of the picture that was begun with
    crops: list = field(default_factory=list)  # of the scene with the other thing, as its program draws it


def other_thing(scene: Scene, index: int) -> Scene:
    """The scene with a thing of another kind and colour in the same place."""
    thing = scene.things[0]
    other = lambda options, value: [option for option in options if option != value][index % (len(options) - 1)]
    return replace(scene, things=(replace(thing, kind=other(KINDS, thing.kind), colour=other(tuple(COLOURS), thing.colour)),))


def box(cells: np.ndarray, share: float, size: int) -> tuple[slice, slice]:
    """A square of this share of the picture about the middle of what the thing covers, within the picture."""
    side = max(1, round(size * share**0.5))
    rows, columns = np.nonzero(cells > 127)
    along = lambda places: int(np.clip(round((places.mean() + 0.5) * size / CELLS - side / 2), 0, size - side)) if len(places) else (size - side) // 2
    return tuple(slice(start, start + side) for start in (along(rows), along(columns)))


def holds(where: tuple[slice, slice], cells: np.ndarray, size: int) -> bool:
    """Whether nine tenths of the thing lie in the box."""
    inside = np.zeros((size, size), bool)
    inside[where] = True
    inside = inside.reshape(CELLS, size // CELLS, CELLS, size // CELLS).mean((1, 3))
    return (inside * cells).sum() >= 0.9 * cells.sum()


def across_edge(picture: np.ndarray, where: tuple[slice, slice]) -> float:
    """The mean difference between neighbours, one in the box and one outside; 0 where the box is the picture."""
    inside = np.zeros(picture.shape[:2], bool)
    inside[where] = True
    picture = picture.astype(float)
    steps = []
    for axis in (0, 1):
        crossing = np.diff(inside, axis=axis)
        steps.append(np.abs(np.diff(picture, axis=axis))[crossing].ravel())
    steps = np.concatenate(steps)
    return float(steps.mean()) if len(steps) else 0.0


def crop(picture: np.ndarray, where: tuple[slice, slice], side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture[where]).resize((side, side), Image.Resampling.BICUBIC))


def relative(found: np.ndarray, expected: np.ndarray, where: tuple[slice, slice]) -> float:
    difference = found[where].astype(float) - expected[where]
    return float(np.linalg.norm(difference) / np.linalg.norm(expected[where].astype(float)))


class Engine:
    """Draws by the built program, in a folder of its own."""

    def __init__(self, arguments, folder: Path):
        self.arguments, self.folder = arguments, folder

    def what(self, prompt: str) -> list[str]:
        return [prompt] if self.arguments.of_class is None else ["--class", self.arguments.of_class]

    def draw(self, prompt: str, seed: int, picture: np.ndarray, where: tuple[slice, slice], options: list[str]) -> tuple[np.ndarray, dict]:
        mask = np.zeros(picture.shape[:2], np.uint8)
        mask[where] = 255
        Image.fromarray(picture).save(self.folder / "in.png")
        Image.fromarray(mask).save(self.folder / "mask.png")
        said = says(
            self.arguments.bin, "generate", *self.what(prompt), "--model", self.arguments.model, "--seed", seed, "--steps", self.arguments.steps,
            "--adapter", "cpu", "--threads", 1, "--image", self.folder / "in.png", "--mask", self.folder / "mask.png",
            "-o", self.folder / "out.png", *options, of=repr(prompt),
        )  # fmt: skip
        return np.asarray(Image.open(self.folder / "out.png").convert("RGB")), said


def one_thing(number: int):
    """The first so many held-out scenes of one thing, with their index."""
    found = 0
    for index in count():
        scene = sample_scene(HELD_OUT, index)
        if len(scene.things) == 1:
            yield index, scene
            found += 1
        if found == number:
            return


def wanted(scene: Scene) -> list[int]:
    facts = truth(scene)
    return [values.index(facts[name]) for name, values in classifier.HEADS.items()]


def judged(judge, side: int, picture: np.ndarray, scene: Scene) -> list[bool]:
    """Whether object, colour and place are as the scene says, and all three."""
    reduced = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))[None]
    seen = classifier.look(judge, to_torch(reduced))[1]
    right = [int(seen[name][0]) == value for name, value in zip(classifier.HEADS, wanted(scene))]
    return [*right, all(right)]


def measure(arguments, engine: Engine, judge) -> tuple[dict, dict]:
    """Rows by (policy, way, share), and what is given by share."""
    rows, given = {}, {}
    size = arguments.size
    for index, old in one_thing(arguments.count):
        scene = other_thing(old, index)
        picture, cells = draw_with_masks(old, HELD_OUT, index, size, CELLS)
        real = draw_with_masks(scene, HELD_OUT, index, size, 0)[0]
        prompt = caption(scene, HELD_OUT, index)
        for share in arguments.shares:
            where = box(cells[0], share, size)
            known = given.setdefault(share, Given())
            known.edge.append(across_edge(picture, where))
            known.crops.append(crop(real, where, arguments.judge_size))
            for policy in arguments.policies:
                full = None
                for way in ("full", "masked"):
                    options = ["--compress", policy] + (["--masked", arguments.masked] if way == "masked" else [])
                    drawn, report = engine.draw(prompt, index, picture, where, options)
                    row = rows.setdefault((policy, way, share), Row())
                    if way == "full":
                        full = drawn
                    else:
                        row.error.append(relative(drawn, full, where))
                        # Steps of other policies that are whole compute what the policy would leave out: more would differ.
                        for halo in arguments.halos if policy == "dense" else []:
                            part = ["--compress", policy, "--masked", f"every=1,decode={halo}"]
                            decoded, _ = engine.draw(prompt, index, picture, where, part)
                            row.decode.setdefault(halo, []).append(relative(decoded, full, where))
                    row.edge.append(across_edge(drawn, where))
                    row.crops.append(crop(drawn, where, arguments.judge_size))
                    row.flops.append(report["flops_per_step"])
                    row.seconds.append([report["seconds"][part] for part in ("steps", "decode")])
                    if judge is not None and holds(where, cells[0], size):
                        row.right.append(judged(judge, arguments.judge_size, drawn, scene))
        print(f"scene {index} drawn", flush=True)
    return rows, given


def distance_inside(judge, row: Row, known: Given) -> str:
    if judge is None or len(row.crops) < FEW:
        return ""
    real = gaussian(features(judge, np.stack(known.crops)))
    points = features(judge, np.stack(row.crops))
    return f"{distance(gaussian(points), real):.2f} ± {spread(points, real):.2f}"


def table(rows: dict, given: dict, judge) -> str:
    dense = {share: np.mean(row.flops) for (policy, way, share), row in rows.items() if (policy, way) == ("dense", "full")}
    lines = [
        "| mask | policy | compute | FLOPs of a step | time of the steps | of decoding | error under the mask | of the decoder alone"
        " | step at the edge (given picture) | FD-scenes under the mask | object, colour, place, all three right |",
        "|" + "---|" * 11,
    ]
    percent = lambda value: f"{100 * value:.1f} %"
    for (policy, way, share), row in sorted(rows.items(), key=lambda item: (item[0][2], item[0][0], item[0][1])):
        full = rows[policy, "full", share]
        seconds = np.median(np.array(row.seconds) / np.array(full.seconds), axis=0)
        right = f"{', '.join(f'{100 * value:.0f}' for value in np.mean(row.right, axis=0))} % of {len(row.right)}" if row.right else ""
        lines.append(
            f"| {100 * share:.0f} % | {policy} | {way} | {np.mean(row.flops) / dense.get(share, np.mean(full.flops)):.2f}"
            f" | {seconds[0]:.2f} | {seconds[1]:.2f} | {percent(np.mean(row.error)) if row.error else ''}"
            f" | {', '.join(f'{halo}: {percent(np.mean(errors))}' for halo, errors in row.decode.items())} | {np.mean(row.edge):.1f} ({np.mean(given[share].edge):.1f})"
            f" | {distance_inside(judge, row, given[share])} | {right} |"
        )
    return "\n".join(lines)


def size_of(model: Path) -> int:
    """The edge of the pictures that the model was trained on."""
    config = lambda part: json.loads((model / part / "config.json").read_text())
    return config("transformer")["sample_size"] << (len(config("vae")["block_out_channels"]) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=BUILT)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes"))
    parser.add_argument("--size", type=int, help="of the pictures; the model's own if left out")
    parser.add_argument("--count", type=int, default=24, help="scenes")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the picture that is drawn anew")
    parser.add_argument("--policies", nargs="+", default=["dense", "diffcr"])
    parser.add_argument("--masked", default="every=10", help="as the engine's option")
    parser.add_argument("--halos", type=int, nargs="+", default=[1], help="of the decoder")
    parser.add_argument("--class", dest="of_class", type=int, metavar="N", help="for a model of classes")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--classifier", type=Path, default=Path("runs/classifier"), help="left out where there is none")
    parser.add_argument("--judge-size", type=int, default=64, help="of the pictures that the judge was trained on")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    arguments.size = arguments.size or size_of(arguments.model)
    weights = arguments.classifier / "classifier.safetensors"
    judge = classifier.load(weights) if weights.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        print(table(*measure(arguments, Engine(arguments, Path(folder)), judge), judge))


if __name__ == "__main__":
    main()
