"""Prompts of two things, and what a classifier of halves says of their pictures.

Of two things one is always left and one right, so each half of a picture is judged as a picture of one thing, by a classifier that
was trained on such halves: `training.train_classifier --things 2`.
"""

import re

import numpy as np
import torch

from ..scenes.grammar import PLACE_PHRASES
from .classifier import HEADS, Classifier, look
from .prompts import THING, held_out_scenes, places_in, truth
from .quality import Accuracy, to_torch

HALF = 0.5625  # of the width: a thing reaches a little over the middle


def halves(pictures: torch.Tensor) -> torch.Tensor:
    """[B, 3, S, S] → [B, 2, 3, S, W]: left and right, which overlap."""
    width = round(HALF * pictures.shape[-1])
    return torch.stack([pictures[..., :width], pictures[..., -width:]], 1)


def stated(prompt: str) -> bool:
    """Whether a caption names two things with their colours, and one place."""
    return len(THING.findall(prompt)) == 2 and len(places_in(prompt)) == 1


def says_sides(prompt: str) -> bool:
    return any(re.search(rf"\b{phrase}\b", prompt) for phrase in PLACE_PHRASES["left"])


def held_out(count: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """`count` captions of scenes nothing was trained on, and what each head should see [count, 2], left and right."""
    prompts, wanted, scenes = [], {name: [] for name in HEADS}, held_out_scenes()
    while len(prompts) < count:
        scene, prompt = next(scenes)
        if len(scene.things) == 2 and stated(prompt):
            prompts.append(prompt)
            facts = [truth(scene, thing) for thing in range(2)]
            for name, values in HEADS.items():
                wanted[name].append([values.index(fact[name]) for fact in facts])
    return prompts, {name: np.array(values) for name, values in wanted.items()}


def judge(model: Classifier, pictures: np.ndarray, prompts: list[str], wanted: dict[str, np.ndarray]) -> Accuracy:
    """uint8 [N, S, S, 3]: both objects, both colours, the place in both halves, and all of it."""
    parts = halves(to_torch(pictures))
    seen = {name: found.view(-1, 2).numpy() for name, found in look(model, parts.flatten(0, 1))[1].items()}
    return Accuracy(right_in(seen, wanted, np.array([says_sides(prompt) for prompt in prompts])))


def right_in(seen: dict[str, np.ndarray], wanted: dict[str, np.ndarray], sided: np.ndarray) -> np.ndarray:
    """bool [N, 4] of what was seen and wanted [N, 2]. Where the prompt does not say which thing is left (`sided` [N]), either order is right."""
    as_said = np.stack([(seen[name] == wanted[name]).all(1) for name in HEADS], 1)
    swapped = np.stack([(seen[name] == wanted[name][:, ::-1]).all(1) for name in HEADS], 1)
    better = ~sided & (swapped.sum(1) > as_said.sum(1))
    right = np.where(better[:, None], swapped, as_said)
    return np.concatenate([right, right.all(1, keepdims=True)], 1)
