"""`python -m training.goldens.routed_sensitivity tests/goldens/routed`: do the routed goldens notice a rule of routing broken?

Runs each saved folder again with one rule broken and prints how far the worst noise prediction moves (relative L2). A blank:
the rule is of no effect there. What a golden covers has to stand far above 3e-5, the tolerance of the tests.
"""

import argparse
import json
import math
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors.torch import load_file

from . import pipelines, routed
from .__main__ import quiet
from .pipelines import Recipe

BINS, REGION, SELECT, BLOCK = routed.nearest_bin, routed.region, routed.select, routed.routed_block


def block_with(**change):
    """The routed block with some of its arguments exchanged: each a function of all of them, by name."""
    names = ["block", "x", "scores", "kept", "scale", "timestep", "class_labels", "text", "text_mask"]

    def routed_block(*values):
        given = dict(zip(names, values))
        return BLOCK(**given | {name: new(given) for name, new in change.items()})

    return routed_block


def attention_to_all(block, x, scores, kept, *rest):
    """Keys and values of bypassed tokens too."""
    shift, scale = routed.shifts_scales_gates(block, rest[1], rest[2])[:2]
    norm = block.norm1 if block.norm_type == "ada_norm_single" else block.norm1.norm
    everything, forward = norm(x) * (1 + scale) + shift, block.attn1.forward
    with patch.object(block.attn1, "forward", lambda kept_rows: forward(kept_rows, encoder_hidden_states=everything)):
        return BLOCK(block, x, scores, kept, *rest)


MISTAKES = {
    "nothing wrong": {},
    "no scores": {"routed_block": block_with(scores=lambda given: torch.ones_like(given["scores"]))},
    "logits as scores": {"routed_block": block_with(scores=lambda given: given["scores"].logit())},
    "the other scale": {"routed_block": block_with(scale=lambda given: {"mlp": "block", "block": "mlp"}[given["scale"]])},
    "one kept set a batch": {"routed_block": block_with(kept=lambda given: given["kept"][:1].expand_as(given["kept"]))},
    "attention to all": {"routed_block": attention_to_all},
    "lowest scores": {"select": lambda logits, count: SELECT(-logits, count)},
    "k rounded down": {"kept_count": lambda ratio, n: max(1, math.floor(ratio * n))},
    "one token more": {"kept_count": lambda ratio, n: min(n, math.ceil(ratio * n) + 1)},
    "ratios as stored": {"ratios": lambda config, request: config["kept_ratio"]},
    "ties to the smaller": {"nearest_bin": lambda ratio, bins: -BINS(-ratio, [-b for b in bins])},
    "regions backwards": {"region": lambda t, regions, train: regions - 1 - REGION(t, regions, train)},
    "borders one off": {"region": lambda t, regions, train: REGION(t + 1, regions, train)},
    "of 1000 timesteps": {"region": lambda t, regions, train: REGION(t, regions, 1000)},
}


@contextmanager
def broken(rules: dict):
    patches = [patch.object(routed, name, rule) for name, rule in rules.items()]
    for each in patches:
        each.start()
    yield
    for each in patches:
        each.stop()


def moved(folder: Path, rules: dict) -> float:
    request = json.loads((folder / "request.json").read_text())
    recipe = Recipe("", request["pipeline"], None, request, given=tuple(request["given"]))
    routers, config = routed.load(folder / "model" / "transformer")
    with broken(rules):
        ratios = routed.ratios(config, request)
        _, _, made = pipelines.run(
            recipe, folder / "model", lambda pipe, seen: routed.routed(pipe.transformer, routers, config, ratios, seen)
        )
    true = load_file(folder / "expected.safetensors")
    names = [name for name in true if name.startswith("noise_pred.")]
    return max(((made[name] - true[name]).norm() / true[name].norm()).item() for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.routed_sensitivity", description=__doc__)
    parser.add_argument("folder", type=Path)
    folders = sorted(path.parent for path in parser.parse_args().folder.glob("*/request.json"))
    quiet()
    print(f"{'':20}" + "".join(f"{folder.name:>20}" for folder in folders))
    for name, rules in MISTAKES.items():
        row = [moved(folder, rules) for folder in folders]
        print(f"{name:20}" + "".join(f"{format(value, '.1e') if value else '':>20}" for value in row), flush=True)


if __name__ == "__main__":
    main()
