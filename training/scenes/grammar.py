"""Captions: a small grammar with many ways to say the same thing. Every word said is true of the scene; much is left unsaid."""

import numpy as np

from .scene import Scene, Thing, generator

SIZE_WORDS = {"small": ("small", "little", "tiny"), "medium": (), "large": ("large", "big", "huge")}
PLACE_PHRASES = {
    "left": ("on the left", "to the left", "at the left side"),
    "centre": ("in the centre", "in the middle", "at the center"),
    "right": ("on the right", "to the right", "at the right side"),
}
BACKGROUND_PHRASES = {
    "meadow": ("in a meadow", "on the grass", "in a green field", "on a meadow"),
    "desert": ("in the desert", "on the sand", "among the dunes"),
    "sea": ("by the sea", "above the sea", "on the ocean", "at sea", "over the water"),
    "snow": ("in the snow", "in winter", "on a snowy hill"),
    "mountains": ("in the mountains", "before the mountains", "near a mountain"),
    "bricks": ("before a brick wall", "on a brick wall", "against bricks"),
    "checks": ("on a checkered cloth", "on a chessboard", "on a checkerboard"),
    "stripes": ("on striped wallpaper", "before stripes", "on a striped wall"),
    "space": ("in space", "among the stars", "in outer space"),
}
TIME_PHRASES = {
    "day": ("by day", "in daylight", "on a sunny day", "during the day"),
    "sunset": ("at sunset", "at dusk", "in the evening"),
    "night": ("at night", "by night", "in the dark"),
}


def caption(scene: Scene, seed: int, index: int, variant: int = 0) -> str:
    """One of endlessly many captions of the scene; `variant` counts them."""
    rng = generator(seed, index, f"caption{variant}")
    style = rng.random()
    if style < 0.15:
        return " and ".join(f"{thing.colour} {thing.kind}" for thing in scene.things)

    say_places = rng.random() < 0.6
    subject = " and ".join(_thing(thing, say_places, rng) for thing in scene.things)
    setting = _setting(scene, rng)
    if style < 0.85:
        return " ".join([subject, *setting])
    if style < 0.93 and setting:
        return f"{', '.join(setting)}, {subject}"
    return ", ".join([subject, *setting])


def _thing(thing: Thing, say_place: bool, rng: np.random.Generator) -> str:
    words = ["a" if rng.random() < 0.85 else "one"]
    if SIZE_WORDS[thing.size] and rng.random() < 0.6:
        words.append(_pick(SIZE_WORDS[thing.size], rng))
    words += [thing.colour, thing.kind]
    if words[:2] == ["a", "orange"]:
        words[0] = "an"
    if say_place:
        words.append(_pick(PLACE_PHRASES[thing.place], rng))
    return " ".join(words)


def _setting(scene: Scene, rng: np.random.Generator) -> list[str]:
    phrases = []
    if rng.random() < 0.85:
        phrases.append(_pick(BACKGROUND_PHRASES[scene.background], rng))
    if scene.time and rng.random() < 0.7:
        phrases.append(_pick(TIME_PHRASES[scene.time], rng))
    return phrases


def _pick(options, rng: np.random.Generator):
    return options[rng.integers(len(options))]
