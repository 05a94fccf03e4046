"""Held-out prompts that say what the picture must show, so that the classifier can check them."""

import itertools
import re

from ..measure import HELD_OUT
from ..scenes.grammar import BACKGROUND_PHRASES, caption
from ..scenes.scene import COLOURS, KINDS, Scene, sample_scene
from .classifier import HEADS

PLACE_OF = {phrase: place for place, phrases in BACKGROUND_PHRASES.items() for phrase in phrases}
THING = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(KINDS)})\b")


def places_in(prompt: str) -> set[str]:
    return {place for phrase, place in PLACE_OF.items() if re.search(rf"\b{phrase}\b", prompt)}


def stated(prompt: str) -> dict[str, str] | None:
    """What a caption of one thing states of it: object, colour, place; None where it leaves one of them open, or names two things."""
    things, places = THING.findall(prompt), places_in(prompt)
    if len(things) != 1 or len(places) != 1:
        return None
    (colour, kind), (place,) = things[0], places
    return {"object": kind, "colour": colour, "place": place}


def held_out_scenes():
    """Scenes nothing was trained on, each with its caption, without end."""
    for index in itertools.count():
        scene = sample_scene(HELD_OUT, index)
        yield scene, caption(scene, HELD_OUT, index)


def held_out(count: int) -> tuple[list[str], dict[str, list[int]]]:
    """`count` captions of scenes nothing was trained on, and what each head should see in the pictures."""
    prompts, wanted, scenes = [], {name: [] for name in HEADS}, held_out_scenes()
    while len(prompts) < count:
        scene, prompt = next(scenes)
        facts = stated(prompt)
        if facts is None:
            continue
        assert facts == truth(scene), prompt
        prompts.append(prompt)
        for name, values in HEADS.items():
            wanted[name].append(values.index(facts[name]))
    return prompts, wanted


def truth(scene: Scene, thing: int = 0) -> dict[str, str]:
    return {"object": scene.things[thing].kind, "colour": scene.things[thing].colour, "place": scene.background}
