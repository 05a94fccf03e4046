"""`python -m training.goldens.merged_unseen --seed 7 --count 8 --out FOLDER`: random merging goldens nobody has tuned for.

Same format as the committed ones; the pipelines are those of `unseen`, whose transformers merge tokens.
"""

import argparse
import random
import shutil
from pathlib import Path

from . import store, unseen
from .__main__ import quiet
from .merged import Merging
from .merged_recipes import writer
from .pipelines import Recipe


def grid(recipe: Recipe) -> tuple[int, int]:
    """Rows and columns of tokens."""
    unit = recipe.transformer["patch_size"] * 2 ** (len(recipe.autoencoder["channels"]) - 1)
    width, height = recipe.request["size"]
    return height // unit, width // unit


def even(draw: random.Random, recipe: Recipe) -> None:
    """Another size, with even sides and up to 20 × 20 tokens."""
    patch = recipe.transformer["patch_size"] = draw.choice([1, 1, 2])
    recipe.autoencoder["channels"] = recipe.autoencoder["channels"][:2]
    unit = patch * 2 ** (len(recipe.autoencoder["channels"]) - 1)
    if recipe.pipeline == "DiTPipeline":
        side = draw.choice([4, 6, 8, 10, 16, 20])
        recipe.transformer["sample_size"], recipe.request["size"] = side * patch, [side * unit] * 2
    else:
        # Their pictures' sides are multiples of 8.
        sides = [side for side in range(4, 21, 2) if side * unit % 8 == 0]
        recipe.request["size"] = [unit * draw.choice(sides) for _ in range(2)]


def sdtm(draw: random.Random, recipe: Recipe) -> Merging:
    even(draw, recipe)
    rows, columns = grid(recipe)
    steps = recipe.request["steps"] = draw.randint(3, 9)
    values = {
        "deviation": round(draw.uniform(0, 0.25), 3), "switch_step": draw.randint(0, steps), "protect_every": draw.choice([0, 2, 3, 3, 4]),
        "cache_weight": draw.choice([0.0, 0.1, 0.25, 0.7, 1.0]), "a_s": draw.choice([0.0, 0.05, 0.05, 0.4]),
        "multiple": draw.choice([4, 16] if rows * columns >= 200 else [1, 2, 3]),
    }  # fmt: skip
    # Some keys are left to their defaults.
    return Merging("sdtm", round(draw.uniform(0.1, 0.5), 3), {k: v for k, v in values.items() if k == "multiple" or draw.random() < 0.8})


def tome(draw: random.Random, recipe: Recipe) -> Merging:
    if draw.random() < 0.4:
        even(draw, recipe)
    rows, columns = grid(recipe)
    strides = [s for s in ["2", "2", "2x2", "2x3", "3x2", "1x3", "4x1", "3"] if int(s[0]) <= rows and int(s[-1]) <= columns]
    attn, mlp = draw.choice([(True, False), (True, False), (True, True), (False, True)])
    assert strides, f"no cell fits into {rows} × {columns}"
    return Merging("tome", round(draw.uniform(0.05, 0.9), 3), {"stride": draw.choice(strides), "attn": attn, "mlp": mlp})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.merged_unseen", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    quiet()
    made = attempt = 0
    while made < arguments.count:
        draw = random.Random(f"merged/{arguments.seed}/{attempt}")
        recipe = draw.choice([unseen.dit, unseen.pixart, unseen.pixart])(draw, attempt)
        out = arguments.out / f"merged_{arguments.seed}_{attempt}"
        attempt += 1
        try:
            merging = draw.choice([sdtm, sdtm, tome])(draw, recipe)
            if draw.random() < 0.25:
                recipe.request["count"] = 2
            writer(recipe, merging, seeds=40)(store.fresh(out))
        except AssertionError as unfit:
            # Some draws saturate, and some hang on a rounding: no fit golden, try the next.
            print(f"{out.name}: left out, {unfit}", flush=True)
            shutil.rmtree(out, ignore_errors=True)
            continue
        made += 1
        print(f"{out.name}: {recipe.pipeline}, {recipe.dtype}, {grid(recipe)}, {merging.compress} {merging.ratio} {merging.set}", flush=True)


if __name__ == "__main__":
    main()
