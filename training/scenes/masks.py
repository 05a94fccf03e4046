"""Which part of a picture an inpainting model draws anew in training: boxes about things, brush strokes, a side, all of it."""

import numpy as np
from PIL import Image, ImageDraw

from .scene import PLACES, SIZES, Scene, generator, sample_scene

# How often: all (as in drawing without a picture), a side (outpainting), a box about a thing; else strokes of a brush.
ALL, SIDE, BOX = 0.1, 0.15, 0.4


def draw_mask(seed: int, index: int, size: int) -> np.ndarray:
    """bool [size, size], fixed by (seed, index); it covers a pixel at least."""
    rng = generator(seed, index, "mask")
    mask = Image.new("1", (size, size))
    brush, style = ImageDraw.Draw(mask), rng.random()
    if style < ALL:
        brush.rectangle((0, 0, size, size), fill=1)
    elif style < ALL + SIDE:
        brush.rectangle((0, 0, size, rng.uniform(0.2, 0.6) * size), fill=1)
        mask = mask.rotate(90 * int(rng.integers(4)))
    elif style < ALL + SIDE + BOX:
        brush.rectangle(box(sample_scene(seed, index), size, rng), fill=1)
    else:
        for _ in range(rng.integers(1, 4)):
            stroke(brush, size, rng)
    return np.asarray(mask)


def box(scene: Scene, size: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """About one of the things, with some of what is around it; things stand a little below the middle (draw.py)."""
    thing = scene.things[rng.integers(len(scene.things))]
    centre = PLACES[thing.place] + rng.uniform(-0.05, 0.05), 0.55 + rng.uniform(-0.05, 0.05)
    left, top, right, bottom = rng.uniform(0.7, 1.5, 4) * SIZES[thing.size]
    return (centre[0] - left) * size, (centre[1] - top) * size, (centre[0] + right) * size, (centre[1] + bottom) * size


def stroke(brush: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    points, width = rng.uniform(0, size, (rng.integers(2, 5), 2)), rng.uniform(0.06, 0.2) * size
    brush.line([tuple(point) for point in points], fill=1, width=round(width), joint="curve")
    for x, y in points:
        brush.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
