"""Prompts of two things: what is asked, which half holds what, and when either order is right."""

import numpy as np
import torch

from training.evaluation import pairs
from training.evaluation.classifier import HEADS
from training.scenes.draw import draw_with_masks
from training.scenes.scene import sample_scene
from training.train_classifier import draw_scenes, of_one_thing


def test_prompts_name_both_things_and_the_place():
    assert pairs.stated("a red ring on the left and a blue star on the right in space")
    assert not pairs.stated("red ring and blue star") and not pairs.stated("a red ring in space")
    assert pairs.says_sides("a red ring to the left and a blue star to the right in space") and not pairs.says_sides("a red ring and a blue star in space")
    prompts, wanted = pairs.held_out(30)
    assert pairs.held_out(10)[0] == prompts[:10] and all(values.shape == (30, 2) for values in wanted.values())
    for prompt, kinds, colours in zip(prompts, wanted["object"], wanted["colour"]):
        said = [f"{HEADS['colour'][colour]} {HEADS['object'][kind]}" for kind, colour in zip(kinds, colours)]
        assert prompt.index(said[0]) < prompt.index(said[1])


def test_each_half_holds_its_own_thing():
    """All but a tip of it, and at most a third of the other."""
    scenes = [index for index in range(200) if len(sample_scene(4, index).things) == 2]
    for index in scenes[:40]:
        masks = torch.from_numpy(draw_with_masks(sample_scene(4, index), 4, index, 128, 32)[1]).float()  # [2, 32, 32]
        inside = pairs.halves(masks[:, None]).sum((2, 3, 4)) / masks.sum((1, 2))[:, None]  # of each thing, in each half
        assert inside.diagonal().min() > 0.97 and max(inside[0, 1], inside[1, 0]) < 0.34, (index, inside)


def test_what_is_learnt_are_the_halves_and_their_things():
    pictures, wanted = draw_scenes(4, 3, 64, 2)
    parts, labels = of_one_thing(pictures, wanted)
    assert parts.shape == (6, 3, 64, 36) and torch.equal(parts[0], pictures[0][..., :36]) and torch.equal(parts[5], pictures[2][..., 28:])
    things = [thing for scene in (sample_scene(4, index) for index in range(100)) if len(scene.things) == 2 for thing in scene.things][:6]
    assert [HEADS["object"][index] for index in labels["object"]] == [thing.kind for thing in things]
    assert [HEADS["colour"][index] for index in labels["colour"]] == [thing.colour for thing in things]
    assert of_one_thing(*draw_scenes(4, 3, 64, 1))[0].shape == (3, 3, 64, 64)


def test_either_order_is_right_unless_the_prompt_says_the_sides():
    wanted = {"object": np.array([[1, 2]] * 4), "colour": np.array([[3, 4]] * 4), "place": np.array([[5, 5]] * 4)}
    seen = {"object": np.array([[2, 1], [2, 1], [1, 2], [2, 1]]), "colour": np.array([[4, 3], [4, 3], [3, 4], [3, 4]]), "place": wanted["place"]}
    right = pairs.right_in(seen, wanted, np.array([False, True, True, False]))
    assert right[:, 3].tolist() == [True, False, True, False]
    assert right[0].tolist() == [True] * 4 and right[1].tolist() == [False, False, True, False]
    # Kinds in one order and colours in the other are mixed up, whichever order counts.
    assert right[3, :2].sum() == 1
