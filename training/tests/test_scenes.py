"""The data set keeps its promises: the same seed gives the same scene, and captions only say what is drawn."""

import numpy as np
import pytest

from training.scenes.draw import draw_scene
from training.scenes.grammar import BACKGROUND_PHRASES, PLACE_PHRASES, SIZE_WORDS, TIME_PHRASES, caption
from training.scenes.scene import COLOURS, INTERIORS, KINDS, LANDSCAPES, PLACES, Scene, Thing, sample_scene


def test_a_seed_fixes_scene_picture_and_caption():
    for index in range(20):
        scene = sample_scene(7, index)
        assert scene == sample_scene(7, index)
        assert caption(scene, 7, index) == caption(scene, 7, index)
        assert np.array_equal(draw_scene(scene, 7, index), draw_scene(scene, 7, index))


def test_seeds_and_indices_differ():
    scenes = {sample_scene(seed, index) for seed in (0, 1) for index in range(50)}
    assert len(scenes) > 90


def test_captions_name_every_thing_with_its_colour():
    for index in range(300):
        scene = sample_scene(0, index)
        text = caption(scene, 0, index)
        for thing in scene.things:
            assert f"{thing.colour} {thing.kind}" in text


@pytest.mark.parametrize(
    "phrases, truth",
    [
        (PLACE_PHRASES, lambda scene: {thing.place for thing in scene.things}),
        (BACKGROUND_PHRASES, lambda scene: {scene.background}),
        (TIME_PHRASES, lambda scene: {scene.time}),
        (SIZE_WORDS, lambda scene: {thing.size for thing in scene.things}),
    ],
)
def test_captions_say_nothing_false(phrases, truth):
    for index in range(500):
        scene = sample_scene(3, index)
        padded = f" {caption(scene, 3, index).replace(',', '')} "
        for meaning, wordings in phrases.items():
            said = any(f" {words} " in padded for words in wordings)
            assert not said or meaning in truth(scene), (padded, meaning)


def shows(colour: str, picture: np.ndarray) -> bool:
    """Whether a good patch of the colour itself is there (by day things are drawn unshaded)."""
    return (np.abs(picture.astype(int) - COLOURS[colour]).max(-1) < 12).sum() > 15


@pytest.mark.parametrize("kind", KINDS)
def test_the_colour_named_is_the_colour_drawn(kind):
    for i, colour in enumerate(("red", "purple", "pink")):  # no background has these
        picture = draw_scene(Scene((Thing(kind, colour, "large", "centre"),), "sea", "day"), 0, i)
        assert shows(colour, picture)
        assert not shows(colour, draw_scene(Scene((Thing(kind, "green", "large", "centre"),), "sea", "day"), 0, i))


@pytest.mark.parametrize("place", PLACES)
def test_things_stand_where_they_should(place):
    for index in range(10):
        picture = draw_scene(Scene((Thing("ball", "red", "small", place),), "stripes", None), 1, index)
        columns = np.nonzero(np.abs(picture.astype(int) - COLOURS["red"]).max(-1) < 12)[1]
        assert abs(columns.mean() / 64 - PLACES[place]) < 0.1


def test_every_background_at_every_size():
    for background in (*LANDSCAPES, *INTERIORS):
        scene = Scene((Thing("cup", "blue", "small", "left"),), background, "night" if background in LANDSCAPES else None)
        for size in (64, 128):
            picture = draw_scene(scene, 0, 0, size)
            assert picture.shape == (size, size, 3) and picture.dtype == np.uint8 and picture.std() > 5
