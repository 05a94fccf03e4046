"""`python -m training.goldens.routed_unseen --seed 7 --count 8 --out FOLDER`: random routed goldens nobody has tuned for.

Same format as the committed ones; the pipelines are those of `unseen`, with routers in them.
"""

import argparse
import random
import shutil
from pathlib import Path

from . import store, unseen
from .__main__ import quiet
from .pipelines import Recipe
from .routed import Routing
from .routed_recipes import writer

BINS = [Routing.bins, tuple(n / 10 for n in range(11)), (0.25, 0.5, 0.75, 1.0), (0.2, 0.55, 0.6, 1.0), (0.9, 0.1, 0.4, 0.7)]


def routing(draw: random.Random, recipe: Recipe) -> Routing:
    layers, bins = recipe.transformer["num_layers"], draw.choice(BINS)
    # Between the bins, on them, and half-way between two of them.
    half_way = [(a + b) / 2 for a, b in zip(sorted(bins), sorted(bins)[1:])]
    ratio = lambda: draw.choice([round(draw.uniform(0.02, 1), 4), draw.choice([b for b in bins if b > 0]), draw.choice(half_way)])
    compress, target = draw.choice([(None, None), (None, None), ("diffcr", None), ("diffcr", True), ("mod", True)])
    return Routing(
        [[ratio() for _ in range(layers)] for _ in range(draw.choice([1, 2, 3, 4, 10]))],
        draw.choice(["mlp", "block"]), bins, compress=compress, ratio=target and round(draw.uniform(0.05, 0.65), 2),
    )  # fmt: skip


def many_tokens(draw: random.Random, recipe: Recipe) -> None:
    """Up to 32 × 32: selections that no single workgroup holds."""
    recipe.transformer["patch_size"], recipe.autoencoder["channels"] = 1, (4, 6)
    recipe.request["size"] = [8 * draw.randint(3, 8) for _ in range(2)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.routed_unseen", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    quiet()
    made = attempt = 0
    while made < arguments.count:
        draw = random.Random(f"routed/{arguments.seed}/{attempt}")
        recipe = draw.choice([unseen.dit, unseen.pixart, unseen.pixart])(draw, attempt)
        recipe.shard = None  # the routers are written into the one file
        if recipe.pipeline != "DiTPipeline" and draw.random() < 0.35:
            many_tokens(draw, recipe)
        rule = routing(draw, recipe)
        out = arguments.out / f"routed_{arguments.seed}_{attempt}"
        attempt += 1
        try:
            writer(recipe, rule)(store.fresh(out))
        except AssertionError as unfit:
            # Some draws saturate, and some hang on a rounding: no fit golden, try the next.
            print(f"{out.name}: left out, {unfit}")
            shutil.rmtree(out)
            continue
        made += 1
        print(f"{out.name}: {recipe.pipeline}, {recipe.dtype}, {recipe.request['size']}, {rule.scale}, {rule.compress} {rule.ratio}, {rule.kept_ratio}")


if __name__ == "__main__":
    main()
