"""Draws a scene: background first, then each object as polygons, on a canvas that is too large, then averaged down.

Canvas and background have one size whatever the picture's, so that a scene looks the same at every size.
"""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from .backgrounds import LIGHT, paint
from .scene import COLOURS, PLACES, SIZES, Scene, Thing, generator

CANVAS, BACKGROUND = 512, 128  # pixels along an edge
OUTLINE = 5  # canvas pixels

WOOD, CREAM, DARK, GLASS, LEAF, SUNNY = (112, 74, 44), (240, 226, 198), (34, 32, 40), (186, 222, 240), (64, 150, 62), (250, 208, 60)


def draw_scene(scene: Scene, seed: int, index: int, size: int = 64) -> np.ndarray:
    """The picture as uint8 [size, size, 3]; all that the scene leaves open (pose, exact place, texture) comes from the seed."""
    return draw_with_masks(scene, seed, index, size, cells=0)[0]


def draw_with_masks(scene: Scene, seed: int, index: int, size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture, and how much of each cell of a grid each thing covers: uint8 [2, cells, cells], 255 all of it.

    A thing covers what its drawing changes, less what a later one draws over it. `cells=0` leaves the masks out.
    """
    rng = generator(seed, index, "picture")
    background = np.clip(paint(scene.background, scene.time, BACKGROUND, rng), 0, 255).astype(np.uint8)
    canvas = Image.fromarray(background).resize((CANVAS,) * 2, Image.Resampling.NEAREST)
    masks = np.zeros((2, cells, cells), np.uint8)
    for i, thing in enumerate(scene.things):
        before = canvas.copy() if cells else None
        _OBJECTS[thing.kind](Pen(canvas, thing, scene.time, rng), shades(COLOURS[thing.colour]))
        if cells:
            # Each channel's difference, 1 where there is any: the largest of the three is the mask.
            parts = [part.point(lambda v: 255 if v else 0) for part in ImageChops.difference(before, canvas).split()]
            covered = ImageChops.lighter(ImageChops.lighter(parts[0], parts[1]), parts[2])
            masks[i] = np.asarray(covered.resize((cells, cells), Image.Resampling.BOX))
            if i:
                masks[0] = np.minimum(masks[0], 255 - masks[i])
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX)), masks


def shades(colour):
    """The colour itself, a darker one for parts in shadow, a lighter one for highlights."""
    c = np.array(colour, float)
    return colour, tuple(c * 0.68), tuple(c * 0.5 + 127)


class Pen:
    """Draws in the object's own frame: x to the right and y down, both -1…1, placed, scaled, tilted and mirrored on the canvas."""

    def __init__(self, canvas: Image.Image, thing: Thing, time: str | None, rng: np.random.Generator):
        self.draw = ImageDraw.Draw(canvas)
        width = canvas.width
        self.scale = SIZES[thing.size] * width * rng.uniform(0.94, 1.06)
        # Large things move inwards, so that at most their tips leave the picture.
        margin = 0.9 * SIZES[thing.size]
        across = np.clip(PLACES[thing.place], margin, 1 - margin) + rng.uniform(-0.03, 0.03)
        self.centre = np.array([across, 0.55 + rng.uniform(-0.06, 0.06)]) * width
        tilt = math.radians(rng.uniform(-8, 8))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        rotation = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
        self.transform = rotation @ np.diag([mirror, 1.0]) * self.scale
        # Objects are lit by the hour too, but less than the land, so that their colour can still be told at night.
        self.light = 0.6 + 0.4 * np.array(LIGHT[time])

    def place(self, points) -> list[tuple[float, float]]:
        return [tuple(p) for p in np.asarray(points, float) @ self.transform.T + self.centre]

    def lit(self, colour, shade: float = 1.0) -> tuple[int, ...]:
        return tuple(int(v) for v in np.clip(np.array(colour) * self.light * shade, 0, 255))

    def polygon(self, points, colour, outline=True):
        xy = self.place(points)
        self.draw.polygon(xy, fill=self.lit(colour))
        if outline:
            self.draw.line(xy + xy[:2], fill=self.lit(colour, 0.42), width=OUTLINE, joint="curve")

    def line(self, points, colour, width: float):
        """A stroke `width` wide in the object's frame, but never too thin to be seen."""
        self.draw.line(self.place(points), fill=self.lit(colour), width=max(3, round(width * self.scale)), joint="curve")

    def box(self, left, top, right, bottom, colour, outline=True):
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour, outline)

    def disc(self, x, y, rx, ry, colour, outline=True):
        angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        self.polygon(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1), colour, outline)


def arc(x, y, rx, ry, start, stop, count=20):
    """Points along an ellipse, angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, stop, count))
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def house(pen, shades):
    colour, dark, light = shades
    pen.box(0.38, -0.95, 0.6, -0.3, (150, 86, 70))
    pen.box(-0.75, -0.1, 0.75, 0.95, colour)
    pen.polygon([(-1.0, -0.1), (0.0, -0.98), (1.0, -0.1)], dark)
    for y in (-0.32, -0.54, -0.74):
        half = 0.93 * (y + 0.98) / 0.88
        pen.line([(-half, y), (half, y)], light, 0.035)
    pen.box(-0.18, 0.35, 0.18, 0.95, WOOD)
    pen.disc(0.1, 0.66, 0.045, 0.045, SUNNY, outline=False)
    for x in (-0.47, 0.47):
        pen.box(x - 0.17, 0.1, x + 0.17, 0.44, SUNNY)
        pen.line([(x, 0.1), (x, 0.44)], DARK, 0.03)
        pen.line([(x - 0.17, 0.27), (x + 0.17, 0.27)], DARK, 0.03)


def tree(pen, shades):
    colour, dark, light = shades
    pen.box(-0.14, 0.2, 0.14, 1.0, WOOD)
    pen.line([(-0.03, 0.45), (-0.03, 0.95)], (78, 50, 28), 0.04)
    for x, y, r in ((-0.42, -0.05, 0.46), (0.42, -0.05, 0.46), (0.0, -0.45, 0.55)):
        pen.disc(x, y, r, r, dark)
    for x, y, r in ((-0.42, -0.08, 0.38), (0.42, -0.08, 0.38), (0.0, -0.48, 0.48), (0.0, -0.05, 0.35)):
        pen.disc(x, y, r, r, colour, outline=False)
    for x, y in ((-0.5, -0.15), (-0.3, 0.12), (0.42, -0.2), (0.52, 0.1), (-0.12, -0.62), (0.2, -0.42), (0.02, -0.1)):
        pen.line(arc(x, y, 0.11, 0.09, 180, 360, 8), light if y < -0.05 else dark, 0.045)


def ball(pen, shades):
    colour, dark, light = shades
    pen.disc(0, 0, 0.85, 0.85, dark)
    pen.disc(-0.07, -0.09, 0.7, 0.68, colour, outline=False)
    # Two seams, as a beach ball has.
    pen.line(arc(-1.0, 0.1, 1.1, 1.1, -44, 33), CREAM, 0.09)
    pen.line(arc(0.95, 0.25, 0.75, 0.9, 150, 236), CREAM, 0.09)
    pen.disc(-0.36, -0.42, 0.17, 0.14, light, outline=False)


def star(pen, shades):
    colour, dark, light = shades
    radii = (1.0, 0.42) * 5
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    tips = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles)]
    pen.polygon(tips, colour)
    for i in range(0, 10, 2):  # the shaded half of each point
        pen.polygon([(0, 0), tips[i], tips[i + 1]], dark, outline=False)
    pen.line(tips + tips[:2], tuple(v * 0.42 for v in colour), 0.05)
    pen.disc(0, 0, 0.13, 0.13, light, outline=False)


def fish(pen, shades):
    colour, dark, light = shades
    pen.polygon([(0.45, 0.0), (1.02, -0.5), (0.85, 0.0), (1.02, 0.5)], dark)
    for y in (-0.24, 0.0, 0.24):
        pen.line([(0.62, y / 3), (0.92, y)], light, 0.035)
    pen.polygon([(-0.25, -0.4), (0.1, -0.75), (0.35, -0.3)], dark)
    pen.polygon([(-0.2, 0.38), (0.05, 0.68), (0.22, 0.34)], dark)
    pen.disc(-0.2, 0, 0.8, 0.5, colour)
    pen.line(arc(-0.62, 0.0, 0.28, 0.4, -68, 68), dark, 0.06)  # the gill
    for x, y in ((0.0, -0.2), (0.0, 0.02), (0.0, 0.24), (0.22, -0.1), (0.22, 0.13), (0.42, 0.02)):
        pen.line(arc(x - 0.06, y, 0.09, 0.1, -80, 80, 8), dark, 0.04)
    pen.disc(-0.62, -0.12, 0.14, 0.14, (255, 255, 255))
    pen.disc(-0.64, -0.12, 0.06, 0.06, DARK, outline=False)
    pen.line([(-0.96, 0.12), (-0.74, 0.17)], DARK, 0.04)


def mushroom(pen, shades):
    colour, dark, _ = shades
    pen.polygon([(-0.24, 0.0), (0.24, 0.0), (0.34, 0.95), (-0.34, 0.95)], CREAM)
    pen.polygon(arc(0, 0.32, 0.3, 0.1, 0, 180) + arc(0, 0.2, 0.24, 0.04, 180, 0), (222, 200, 164))
    pen.polygon(arc(0, 0.1, 0.95, 1.0, 180, 360), colour)
    pen.polygon(arc(0, 0.1, 0.93, 0.15, 0, 180), dark)
    for x in (-0.6, -0.36, -0.12, 0.12, 0.36, 0.6):  # gills
        pen.line([(x * 0.6, 0.12), (x, 0.22 - 0.12 * x * x)], CREAM, 0.035)
    for x, y, r in ((-0.45, -0.22, 0.15), (0.12, -0.5, 0.17), (0.55, -0.15, 0.13), (-0.2, -0.66, 0.08), (0.1, -0.08, 0.09)):
        pen.disc(x, y, r, r, (250, 250, 245), outline=False)


def boat(pen, shades):
    colour, dark, _ = shades
    pen.box(-0.06, -0.95, 0.06, 0.4, WOOD, outline=False)
    pen.polygon([(0.1, -0.85), (0.85, 0.25), (0.1, 0.25)], (245, 243, 236))
    pen.polygon([(-0.1, -0.7), (-0.1, 0.25), (-0.65, 0.25)], (228, 224, 214))
    for y in (-0.3, 0.0):
        pen.line([(0.12, y), (0.1 + 0.68 * (y + 0.85), y)], (150, 146, 136), 0.03)
    pen.polygon([(0.0, -1.06), (0.0, -0.84), (-0.3, -0.95)], colour)
    pen.polygon([(-1.0, 0.38), (1.0, 0.38), (0.65, 0.88), (-0.65, 0.88)], colour)
    pen.line([(-0.9, 0.52), (0.9, 0.52)], (245, 243, 236), 0.06)
    for x in (-0.4, 0.0, 0.4):
        pen.disc(x, 0.7, 0.07, 0.07, GLASS)


def flower(pen, shades):
    colour, dark, _ = shades
    pen.box(-0.08, 0.0, 0.08, 1.0, LEAF)
    pen.polygon([(0.0, 0.85), (0.34, 0.42), (0.66, 0.46), (0.42, 0.78), (0.1, 0.95)], LEAF)
    pen.polygon([(0.0, 0.7), (-0.3, 0.36), (-0.6, 0.42), (-0.4, 0.68), (-0.1, 0.82)], LEAF)
    for turn in np.arange(6) * np.pi / 3:
        x, y = math.sin(turn), math.cos(turn)
        pen.disc(0.4 * x, -0.3 + 0.4 * y, 0.29, 0.29, colour)
    for turn in np.arange(6) * np.pi / 3:
        x, y = math.sin(turn), math.cos(turn)
        pen.line([(0.3 * x, -0.3 + 0.3 * y), (0.56 * x, -0.3 + 0.56 * y)], dark, 0.05)
    pen.disc(0, -0.3, 0.24, 0.24, (120, 80, 30) if colour == COLOURS["yellow"] else SUNNY)
    for x, y in ((-0.09, -0.36), (0.09, -0.36), (0.0, -0.22)):
        pen.disc(x, y, 0.04, 0.04, WOOD, outline=False)


def cat(pen, shades):
    colour, dark, light = shades
    for side in (-1, 1):
        pen.polygon([(side * 0.85, -0.95), (side * 0.82, 0.0), (side * 0.15, -0.5)], dark)
        pen.polygon([(side * 0.75, -0.74), (side * 0.72, -0.3), (side * 0.38, -0.48)], (240, 170, 170), outline=False)
    pen.disc(0, 0.12, 0.9, 0.74, colour)
    for x in (-0.18, 0.0, 0.18):
        pen.line([(x, -0.58), (0.8 * x, -0.32)], dark, 0.07)
    for side in (-1, 1):
        pen.disc(side * 0.36, -0.04, 0.19, 0.2, (250, 250, 225))
        pen.disc(side * 0.36, -0.04, 0.08, 0.17, DARK, outline=False)
    pen.disc(0, 0.5, 0.36, 0.24, light, outline=False)
    pen.polygon([(-0.13, 0.32), (0.13, 0.32), (0.0, 0.48)], DARK, outline=False)
    pen.line([(-0.2, 0.56), (-0.08, 0.62), (0.0, 0.48), (0.08, 0.62), (0.2, 0.56)], DARK, 0.04)
    for side in (-1, 1):
        for y in (0.36, 0.5):
            pen.line([(side * 0.3, 0.46), (side * 0.98, y)], DARK, 0.03)


def cup(pen, shades):
    colour, dark, light = shades
    pen.polygon(arc(0.58, 0.05, 0.4, 0.42, -90, 90) + arc(0.58, 0.05, 0.2, 0.22, 90, -90), dark)
    pen.polygon([(-0.75, -0.6), (0.62, -0.6), (0.45, 0.8), (-0.58, 0.8)], colour)
    for y, half in ((0.2, 0.585), (0.42, 0.56)):
        pen.line(arc(-0.065, y, half, 0.1, 180, 0), CREAM, 0.06)
    pen.disc(-0.065, -0.6, 0.68, 0.17, dark)
    pen.disc(-0.065, -0.57, 0.54, 0.1, (92, 56, 32), outline=False)
    pen.line([(-0.52, -0.28), (-0.46, 0.6)], light, 0.06)


def car(pen, shades):
    colour, dark, _ = shades
    pen.polygon([(-0.6, 0.0), (-0.4, -0.52), (0.35, -0.52), (0.65, 0.0)], colour)
    pen.polygon([(-0.43, -0.05), (-0.3, -0.38), (-0.06, -0.38), (-0.06, -0.05)], GLASS, outline=False)
    pen.polygon([(0.06, -0.05), (0.06, -0.38), (0.27, -0.38), (0.46, -0.05)], GLASS, outline=False)
    pen.polygon([(-1.0, 0.02), (0.9, 0.02), (1.02, 0.2), (1.0, 0.46), (-1.0, 0.46)], colour)
    pen.line([(0.0, 0.02), (0.0, 0.42)], dark, 0.035)
    pen.line([(0.08, 0.14), (0.2, 0.14)], DARK, 0.045)
    pen.line([(-0.98, 0.36), (0.98, 0.36)], dark, 0.05)
    pen.disc(0.92, 0.16, 0.08, 0.08, SUNNY)
    pen.box(-1.0, 0.08, -0.9, 0.22, (190, 40, 40))
    for x in (-0.52, 0.52):
        pen.disc(x, 0.46, 0.27, 0.27, DARK)
        pen.disc(x, 0.46, 0.14, 0.14, (190, 190, 195), outline=False)
        pen.line([(x - 0.12, 0.46), (x + 0.12, 0.46)], DARK, 0.03)
        pen.line([(x, 0.34), (x, 0.58)], DARK, 0.03)


def ring(pen, shades):
    colour, dark, light = shades
    # One polygon out and back: the seam lies on a single line, so the hole shows the background.
    outer, inner = arc(0, 0.08, 0.88, 0.88, 0, 360, 40), arc(0, 0.08, 0.52, 0.52, 360, 0, 40)
    pen.polygon(outer + inner, colour, outline=False)
    pen.line(arc(0, 0.08, 0.7, 0.7, 195, 262, 16), light, 0.08)
    pen.line(arc(0, 0.08, 0.7, 0.7, 10, 100, 16), dark, 0.1)
    for r in (0.88, 0.52):
        pen.line(arc(0, 0.08, r, r, 0, 365, 42), tuple(v * 0.42 for v in colour), 0.05)
    # A cut stone on top tells it from a ball, a wheel or a letter.
    pen.polygon([(-0.3, -0.84), (-0.17, -1.02), (0.17, -1.02), (0.3, -0.84), (0.0, -0.5)], GLASS)
    pen.line([(-0.3, -0.84), (0.3, -0.84)], (110, 150, 180), 0.035)
    pen.line([(-0.1, -0.84), (0.0, -0.52), (0.1, -0.84)], (110, 150, 180), 0.035)


_OBJECTS = {f.__name__: f for f in (house, tree, ball, star, fish, mushroom, boat, flower, cat, cup, car, ring)}
