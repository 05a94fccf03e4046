"""Draws a scene: background first, then each object as polygons, four times too large, then averaged down."""

import math

import numpy as np
from PIL import Image, ImageDraw

from .backgrounds import LIGHT, paint
from .scene import COLOURS, PLACES, SIZES, Scene, Thing, generator

OVERSAMPLE = 4

WOOD, CREAM, DARK, GLASS, LEAF, SUNNY = (112, 74, 44), (240, 226, 198), (34, 32, 40), (186, 222, 240), (64, 150, 62), (250, 208, 60)


def draw_scene(scene: Scene, seed: int, index: int, size: int = 64) -> np.ndarray:
    """The picture as uint8 [size, size, 3]; all that the scene leaves open (pose, exact place, texture) comes from the seed."""
    rng = generator(seed, index, "picture")
    background = np.clip(paint(scene.background, scene.time, size, rng), 0, 255).astype(np.uint8)
    canvas = Image.fromarray(background).resize((size * OVERSAMPLE,) * 2, Image.Resampling.NEAREST)
    for thing in scene.things:
        _OBJECTS[thing.kind](Pen(canvas, thing, scene.time, rng), shades(COLOURS[thing.colour]))
    return np.asarray(canvas.reduce(OVERSAMPLE))


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

    def polygon(self, points, colour, outline=True):
        placed = np.asarray(points, float) @ self.transform.T + self.centre  # [P, 2]
        fill = np.array(colour) * self.light
        edge = fill * 0.42 if outline else fill
        to_int = lambda c: tuple(int(v) for v in np.clip(c, 0, 255))
        xy = [tuple(p) for p in placed]
        self.draw.polygon(xy, fill=to_int(fill))
        if outline:
            self.draw.line(xy + xy[:2], fill=to_int(edge), width=OVERSAMPLE, joint="curve")

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
    colour, dark, _ = shades
    pen.box(-0.75, -0.1, 0.75, 0.95, colour)
    pen.polygon([(-1.0, -0.1), (0.0, -0.98), (1.0, -0.1)], dark)
    pen.box(-0.18, 0.35, 0.18, 0.95, WOOD)
    for x in (-0.47, 0.47):
        pen.box(x - 0.15, 0.12, x + 0.15, 0.42, SUNNY)


def tree(pen, shades):
    colour, dark, _ = shades
    pen.box(-0.14, 0.2, 0.14, 1.0, WOOD)
    for x, y, r in ((-0.42, -0.05, 0.46), (0.42, -0.05, 0.46), (0.0, -0.45, 0.55)):
        pen.disc(x, y, r, r, dark)
    for x, y, r in ((-0.42, -0.08, 0.38), (0.42, -0.08, 0.38), (0.0, -0.48, 0.48), (0.0, -0.05, 0.35)):
        pen.disc(x, y, r, r, colour, outline=False)


def ball(pen, shades):
    colour, dark, light = shades
    pen.disc(0, 0, 0.85, 0.85, dark)
    pen.disc(-0.07, -0.09, 0.7, 0.68, colour, outline=False)
    pen.disc(-0.28, -0.32, 0.2, 0.17, light, outline=False)


def star(pen, shades):
    colour, _, _ = shades
    radii = (1.0, 0.42) * 5
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    pen.polygon([(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles)], colour)


def fish(pen, shades):
    colour, dark, _ = shades
    pen.polygon([(0.45, 0.0), (1.02, -0.5), (0.85, 0.0), (1.02, 0.5)], dark)
    pen.polygon([(-0.25, -0.4), (0.1, -0.75), (0.35, -0.3)], dark)
    pen.disc(-0.2, 0, 0.8, 0.5, colour)
    pen.disc(-0.62, -0.12, 0.14, 0.14, (255, 255, 255))
    pen.disc(-0.64, -0.12, 0.06, 0.06, DARK, outline=False)


def mushroom(pen, shades):
    colour, _, _ = shades
    pen.polygon([(-0.24, 0.0), (0.24, 0.0), (0.34, 0.95), (-0.34, 0.95)], CREAM)
    pen.polygon(arc(0, 0.1, 0.95, 1.0, 180, 360), colour)
    for x, y, r in ((-0.45, -0.22, 0.15), (0.12, -0.5, 0.17), (0.55, -0.15, 0.13)):
        pen.disc(x, y, r, r, (250, 250, 245), outline=False)


def boat(pen, shades):
    colour, _, _ = shades
    pen.box(-0.06, -0.95, 0.06, 0.4, WOOD, outline=False)
    pen.polygon([(0.1, -0.95), (0.85, 0.25), (0.1, 0.25)], (245, 243, 236))
    pen.polygon([(-0.1, -0.7), (-0.1, 0.25), (-0.65, 0.25)], (228, 224, 214))
    pen.polygon([(-1.0, 0.38), (1.0, 0.38), (0.65, 0.88), (-0.65, 0.88)], colour)


def flower(pen, shades):
    colour, _, _ = shades
    pen.box(-0.08, 0.0, 0.08, 1.0, LEAF)
    pen.polygon([(0.0, 0.85), (0.5, 0.5), (0.62, 0.62), (0.1, 0.95)], LEAF)
    for turn in np.arange(6) * np.pi / 3:
        pen.disc(0.4 * math.sin(turn), -0.3 + 0.4 * math.cos(turn), 0.29, 0.29, colour)
    pen.disc(0, -0.3, 0.24, 0.24, (120, 80, 30) if colour == COLOURS["yellow"] else SUNNY)


def cat(pen, shades):
    colour, dark, light = shades
    for side in (-1, 1):
        pen.polygon([(side * 0.85, -0.95), (side * 0.82, 0.0), (side * 0.15, -0.5)], dark)
    pen.disc(0, 0.12, 0.9, 0.74, colour)
    for side in (-1, 1):
        pen.disc(side * 0.36, -0.04, 0.19, 0.2, (250, 250, 225))
        pen.disc(side * 0.36, -0.04, 0.08, 0.17, DARK, outline=False)
    pen.disc(0, 0.5, 0.36, 0.24, light, outline=False)
    pen.polygon([(-0.13, 0.32), (0.13, 0.32), (0.0, 0.48)], DARK, outline=False)


def cup(pen, shades):
    colour, dark, _ = shades
    pen.polygon(arc(0.58, 0.05, 0.4, 0.42, -90, 90) + arc(0.58, 0.05, 0.2, 0.22, 90, -90), dark)
    pen.polygon([(-0.75, -0.6), (0.62, -0.6), (0.45, 0.8), (-0.58, 0.8)], colour)
    pen.disc(-0.065, -0.6, 0.68, 0.17, dark)


def car(pen, shades):
    colour, _, _ = shades
    pen.polygon([(-0.6, 0.0), (-0.4, -0.52), (0.35, -0.52), (0.65, 0.0)], colour)
    pen.polygon([(-0.43, -0.05), (-0.3, -0.38), (-0.06, -0.38), (-0.06, -0.05)], GLASS, outline=False)
    pen.polygon([(0.06, -0.05), (0.06, -0.38), (0.27, -0.38), (0.46, -0.05)], GLASS, outline=False)
    pen.polygon([(-1.0, 0.02), (0.9, 0.02), (1.02, 0.2), (1.0, 0.46), (-1.0, 0.46)], colour)
    for x in (-0.52, 0.52):
        pen.disc(x, 0.46, 0.27, 0.27, DARK)
        pen.disc(x, 0.46, 0.1, 0.1, (190, 190, 195), outline=False)


def ring(pen, shades):
    colour, _, _ = shades
    # One polygon out and back: the seam lies on a single line, so the hole shows the background.
    outer, inner = arc(0, 0, 0.9, 0.9, 0, 360, 40), arc(0, 0, 0.5, 0.5, 360, 0, 40)
    pen.polygon(outer + inner, colour, outline=False)
    edge = tuple(v * 0.42 for v in colour)
    for r in (0.9, 0.5):
        pen.polygon(arc(0, 0, r, r, 0, 360, 40) + arc(0, 0, r - 0.06, r - 0.06, 360, 0, 40), edge, outline=False)


_OBJECTS = {f.__name__: f for f in (house, tree, ball, star, fish, mushroom, boat, flower, cat, cup, car, ring)}
