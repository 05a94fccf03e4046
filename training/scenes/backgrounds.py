"""Backgrounds: nine places, calm or finely textured, three times of day, as float pictures [S, S, 3] in 0…255."""

import numpy as np

# Sky at the zenith and at the horizon, and what the hour does to the colour of everything below.
SKY = {
    "day": ((95, 165, 235), (195, 225, 248)),
    "sunset": ((95, 65, 135), (252, 160, 90)),
    "night": ((8, 10, 34), (38, 44, 92)),
}
LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.78, 0.68), "night": (0.36, 0.40, 0.58), None: (1.0, 1.0, 1.0)}

# Two muted tones for cloths and wallpapers; muted, so that an object of any colour stands out.
CLOTHS = (((225, 205, 180), (150, 120, 100)), ((200, 215, 225), (115, 135, 155)), ((212, 222, 195), (130, 150, 115)))


def paint(background: str, time: str | None, size: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] / size + 0.5 / size  # [S, S] each, pixel centres in 0…1
    if time is None:
        return _INTERIORS[background](x, y, rng)
    ground, height = _LANDSCAPES[background](x, y, rng)
    picture = _mix(_sky(y, time, rng), ground * LIGHT[time], _edge(y - height, size))
    return picture if background != "snow" else _snowfall(picture, rng)


def noise(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in -1…1: random values on a coarse grid, bilinearly interpolated to [H, W]."""
    grid = rng.uniform(-1, 1, (cells[0] + 1, cells[1] + 1))
    rows, columns = (np.linspace(0, c - 1e-6, n) for c, n in zip(cells, shape))
    i, j = rows.astype(int), columns.astype(int)
    v, u = (rows - i)[:, None], (columns - j)[None, :]
    top = grid[i][:, j] * (1 - u) + grid[i][:, j + 1] * u
    bottom = grid[i + 1][:, j] * (1 - u) + grid[i + 1][:, j + 1] * u
    return top * (1 - v) + bottom * v


def _mix(a, b, amount: np.ndarray) -> np.ndarray:
    """From a to b as `amount` [S, S] goes from 0 to 1."""
    amount = amount[..., None]
    return np.asarray(a) * (1 - amount) + np.asarray(b) * amount


def _edge(distance: np.ndarray, size: int) -> np.ndarray:
    """Coverage of a half plane one pixel soft: the anti-aliasing of everything painted here."""
    return np.clip(distance * size + 0.5, 0, 1)


def _sky(y, time, rng):
    zenith, horizon = SKY[time]
    sky = _mix(zenith, horizon, np.clip(y / 0.6, 0, 1))
    if time == "night":
        _sprinkle(sky, rng, count=14, colour=(235, 235, 215))
    return sky


def _sprinkle(picture, rng, count, colour):
    """Soft bright dots: stars and snowflakes. Their number and places do not depend on the picture's size."""
    size = len(picture)
    for at, radius in zip(rng.random((count, 2)), rng.uniform(0.006, 0.012, count)):
        middle, reach = at * size, max(1, round(3 * radius * size))
        top, left = (int(max(0, m - reach)) for m in middle)
        y, x = np.mgrid[top : min(size, top + 2 * reach + 1), left : min(size, left + 2 * reach + 1)] + 0.5
        distance = np.hypot(y - middle[0], x - middle[1]) / (radius * size)
        patch = picture[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        patch[:] = _mix(patch, colour, np.clip(1.5 - distance, 0, 1) * 0.85)


def _hill(x, rng, base, swing):
    return base + swing * np.sin(2 * np.pi * (x * rng.uniform(0.5, 1.2) + rng.random()))


def _meadow(x, y, rng):
    blades = noise(x.shape, (10, 56), rng)  # long and thin, as grass
    return np.array((82, 158, 58)) + 22 * blades[..., None], _hill(x, rng, 0.58, 0.04)


def _desert(x, y, rng):
    ripples = np.sin(2 * np.pi * (9 * y + 0.7 * np.sin(2 * np.pi * (x + rng.random()))))
    return np.array((226, 188, 118)) + 13 * ripples[..., None], _hill(x, rng, 0.60, 0.05)


def _sea(x, y, rng):
    waves = np.sin(2 * np.pi * (12 * y + 0.25 * np.sin(2 * np.pi * (3 * x + rng.random()))))
    return np.array((38, 108, 168)) + 20 * waves[..., None], np.full_like(x, 0.55)


def _snow(x, y, rng):
    drifts = noise(x.shape, (4, 5), rng)
    return np.array((226, 234, 246)) + 12 * drifts[..., None], _hill(x, rng, 0.60, 0.04)


def _mountains(x, y, rng):
    peaks = [(rng.uniform(0.0, 1.0), rng.uniform(0.24, 0.4)) for _ in range(3)]
    ridge = np.min([top + 0.75 * np.abs(x - at) for at, top in peaks], axis=0)
    rock = _mix((118, 118, 132), (240, 243, 250), _edge(ridge + 0.08 - y, len(x)))  # snow on the tops
    grass = np.array((96, 136, 78)) + 10 * noise(x.shape, (8, 16), rng)[..., None]
    foot = 0.66
    return _mix(rock, grass, _edge(y - foot, len(x))), np.minimum(ridge, foot)


def _snowfall(picture, rng):
    _sprinkle(picture, rng, count=24, colour=(255, 255, 255))
    return picture


def _bricks(x, y, rng):
    rows, columns = 8, 4
    row = np.floor(y * rows).astype(int)
    along = x * columns + 0.5 * (row % 2)
    joint = (np.mod(y * rows, 1) < 0.16) | (np.mod(along, 1) < 0.08)
    tone = rng.uniform(-12, 12, (rows, columns + 1))[row, np.floor(along).astype(int)]
    return np.where(joint[..., None], (196, 188, 178), np.array((152, 88, 70)) + tone[..., None])


def _checks(x, y, rng):
    light, dark = CLOTHS[rng.integers(len(CLOTHS))]
    squares = (np.floor(x * 6).astype(int) + np.floor(y * 6).astype(int)) % 2
    return _mix(light, dark, squares.astype(float))


def _stripes(x, y, rng):
    light, dark = CLOTHS[rng.integers(len(CLOTHS))]
    return _mix(light, dark, np.clip(0.5 + 3 * np.sin(2 * np.pi * (5 * x + rng.random())), 0, 1))


def _space(x, y, rng):
    nebula = np.clip(noise(x.shape, (3, 3), rng), 0, 1)
    picture = _mix((10, 8, 24), (66, 34, 96), nebula)
    _sprinkle(picture, rng, count=40, colour=(240, 240, 255))
    return picture


_LANDSCAPES = {"meadow": _meadow, "desert": _desert, "sea": _sea, "snow": _snow, "mountains": _mountains}
_INTERIORS = {"bricks": _bricks, "checks": _checks, "stripes": _stripes, "space": _space}
