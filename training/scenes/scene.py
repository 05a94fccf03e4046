"""What a picture shows, before it is drawn or described.

A `Scene` is the common source of the picture (draw.py) and of its caption (grammar.py), so the two cannot disagree.
"""

from dataclasses import dataclass

import numpy as np

KINDS = ("house", "tree", "ball", "star", "fish", "mushroom", "boat", "flower", "cat", "cup", "car", "ring")

COLOURS = {
    "red": (214, 40, 40),
    "orange": (245, 135, 25),
    "yellow": (250, 215, 50),
    "green": (45, 160, 65),
    "blue": (40, 90, 215),
    "purple": (130, 55, 175),
    "pink": (248, 135, 180),
    "white": (242, 242, 240),
}

SIZES = {"small": 0.19, "medium": 0.26, "large": 0.35}  # half extent, as a share of the picture's width
PLACES = {"left": 0.27, "centre": 0.50, "right": 0.73}

LANDSCAPES = ("meadow", "desert", "sea", "snow", "mountains")  # these have a sky, hence a time of day
INTERIORS = ("bricks", "checks", "stripes", "space")
TIMES = ("day", "sunset", "night")


@dataclass(frozen=True)
class Thing:
    kind: str
    colour: str
    size: str
    place: str


@dataclass(frozen=True)
class Scene:
    things: tuple[Thing, ...]  # one or two; two are always one left, one right
    background: str
    time: str | None  # None where there is no sky


def generator(seed: int, index: int, stream: str) -> np.random.Generator:
    """One independent stream of random numbers per (data set, picture, purpose)."""
    return np.random.default_rng([seed, index, *stream.encode()])


def sample_scene(seed: int, index: int) -> Scene:
    rng = generator(seed, index, "scene")
    pick = lambda options: options[rng.integers(len(options))]
    colours = tuple(COLOURS)

    if rng.random() < 0.3:
        kinds = rng.choice(len(KINDS), size=2, replace=False)
        sizes = ("small", "medium")
        things = tuple(Thing(KINDS[k], pick(colours), pick(sizes), place) for k, place in zip(kinds, ("left", "right")))
    else:
        things = (Thing(pick(KINDS), pick(colours), pick(tuple(SIZES)), pick(tuple(PLACES))),)

    background = pick(LANDSCAPES) if rng.random() < 0.65 else pick(INTERIORS)
    time = pick(TIMES) if background in LANDSCAPES else None
    return Scene(things, background, time)
