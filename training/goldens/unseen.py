"""`python -m training.goldens.unseen --seed 7 --count 8 --out FOLDER`: random pipeline goldens nobody has tuned for.

Same format as the committed ones. Not part of the tests' data: made by hand, and the Rust tests pointed at the folder.
"""

import argparse
import random
import shutil
from pathlib import Path

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from . import store
from .__main__ import quiet
from .pipelines import Recipe, writer

SUBJECTS = ["a red fox", "two blue Boats", "one castle", "ein Hund", "café  déjà vu", "狐狸 moon", "100 % ring, 3.14", ""]
PLACES = ["", " in the snow", " under a bridge", " at night, by the sea", "\tabove the hills ", " on a table" * 9]


def width(draw: random.Random, multiple: int) -> dict:
    """Heads and head width whose product is a multiple of what positions and size conditions divide it by."""
    while True:
        heads, head = draw.randint(1, 5), draw.choice([4, 6, 8, 10, 12, 14, 16, 20])
        if heads * head % multiple == 0 and 16 <= heads * head <= 60:
            return {"num_attention_heads": heads, "attention_head_dim": head}


def noise_schedule(draw: random.Random) -> dict:
    options = {"beta_schedule": draw.choice(["linear", "scaled_linear"]), "steps_offset": draw.choice([0, 1])}
    # Mostly a schedule on which an untrained model's latents stay small, see recipes.MILD.
    options["beta_end"] = draw.choice([0.006, 0.006, 0.02])
    options["timestep_spacing"] = draw.choice(["linspace", "leading", "trailing"])
    if options["beta_schedule"] == "scaled_linear":
        options["beta_start"] = 0.00085
    if options["timestep_spacing"] == "linspace":
        # DDIM and DDPM begin at 999 with it, and an offset is of no effect.
        options["steps_offset"] = 0
    return options


def scheduler(draw: random.Random, pipeline: str):
    # DiTPipeline neither seeds a stochastic scheduler nor scales its first latents.
    kinds = ["ddim", "dpm"] if pipeline == "DiTPipeline" else ["ddim", "dpm", "dpm", "euler", "ddpm"]
    kind, options = draw.choice(kinds), noise_schedule(draw)
    prediction = draw.choice(["epsilon", "epsilon", "sample", "v_prediction"])
    if kind == "ddim":
        clip = {"clip_sample": draw.random() < 0.5, "clip_sample_range": draw.choice([1.0, 2.5])}
        return DDIMScheduler(**options, **clip, prediction_type=prediction, set_alpha_to_one=draw.random() < 0.5)
    if kind == "ddpm":
        variance = draw.choice(["fixed_small", "fixed_large", "fixed_small_log"])
        return DDPMScheduler(**options, prediction_type=prediction, variance_type=variance, clip_sample=draw.random() < 0.5)
    if kind == "euler":
        sigmas = draw.choice(["interpolation", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])
        extra = {} if sigmas == "interpolation" else {sigmas: True}
        return EulerDiscreteScheduler(**options, **extra, prediction_type=prediction)
    if draw.random() < 0.3:
        options = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": draw.choice([1.0, 2.0, 4.5])}
    else:
        sigmas = draw.choice([None, "use_karras_sigmas", "use_lu_lambdas", "use_exponential_sigmas", "use_beta_sigmas"])
        options |= {"prediction_type": prediction, **({sigmas: True} if sigmas else {})}
    if pipeline != "DiTPipeline" and draw.random() < 0.2:
        options["algorithm_type"] = "sde-dpmsolver++"
    order = draw.choice([1, 2, 2, 3])
    solver = draw.choice(["midpoint", "heun"]) if order == 2 else "midpoint"
    return DPMSolverMultistepScheduler(**options, solver_order=order, solver_type=solver, lower_order_final=draw.random() < 0.8)


def autoencoder(draw: random.Random) -> dict:
    channels = tuple(draw.choice([4, 6, 8, 10]) for _ in range(draw.randint(1, 4)))
    return {"channels": channels, "layers_per_block": draw.choice([1, 2]), "scaling_factor": draw.choice([0.18215, 0.13025, 0.5])}


def storage(draw: random.Random) -> dict:
    return {"dtype": draw.choice(["f32", "f16", "bf16"]), "shard": draw.choice([None, "25KB", "60KB"])}


def dit(draw: random.Random, index: int) -> Recipe:
    vae, patch, guided = autoencoder(draw), draw.choice([1, 2, 3]), draw.random() < 0.7
    side = patch * draw.randint(2, 5)
    classes = 1000 if guided else draw.choice([5, 40, 1000])
    shape = {"num_layers": draw.randint(1, 3), "patch_size": patch, "sample_size": side, "num_embeds_ada_norm": classes}
    shape |= {"out_channels": draw.choice([4, 8]), **width(draw, 4), "attention_bias": draw.random() < 0.8}
    pixels = side * 2 ** (len(vae["channels"]) - 1)
    request = {"class": draw.randrange(classes), "steps": draw.randint(2, 6), "seed": draw.getrandbits(40)}
    request |= {"guidance": draw.choice([1.5, 3.0, 4.0]) if guided else 1.0, "size": [pixels, pixels]}
    return Recipe(f"unseen {index}", "DiTPipeline", scheduler(draw, "DiTPipeline"), request, shape, vae, **storage(draw))


def pixart(draw: random.Random, index: int) -> Recipe:
    pipeline = draw.choice(["PixArtAlphaPipeline", "PixArtSigmaPipeline"])
    vae, patch, conditions = autoencoder(draw), draw.choice([1, 2]), pipeline == "PixArtAlphaPipeline" and draw.random() < 0.5
    factor = 2 ** (len(vae["channels"]) - 1)
    # Pictures of these pipelines are multiples of 8, latents multiples of the patch; few tokens keep files small.
    unit = max(8, factor * patch)
    size = [unit * draw.randint(1, max(1, min(4, 12 * factor * patch // unit))) for _ in range(2)]
    model = draw.choice([12, 18, 22, 26])
    shape = {"num_layers": draw.randint(1, 3), "patch_size": patch, "out_channels": draw.choice([4, 8])}
    shape |= {"caption_channels": model, "sample_size": 128 if conditions else patch * draw.randint(2, 9), **width(draw, 12 if conditions else 4)}
    shape |= {"interpolation_scale": draw.choice([None, 1, 2])}
    text = {"d_model": model, "num_heads": draw.randint(1, 4), "d_kv": draw.choice([5, 8, 11]), "d_ff": draw.choice([29, 37, 64])}
    text |= {"num_layers": draw.randint(1, 3), "feed_forward_proj": draw.choice(["gated-gelu", "relu"])}
    request = {"prompt": draw.choice(SUBJECTS) + draw.choice(PLACES), "negative": draw.choice(["", "blurry, low quality"])}
    request |= {"steps": draw.randint(2, 6), "guidance": draw.choice([1.0, 2.0, 4.5]), "seed": draw.getrandbits(40), "size": size}
    request |= {"max_sequence_length": draw.choice([20, 120, 300])}
    return Recipe(
        f"unseen {index}", pipeline, scheduler(draw, pipeline), request, shape, vae, text,
        {"size": draw.choice([150, 250]), "extra_ids": draw.choice([10, 100])},
        keep_tokenizer_json=draw.random() < 0.5, **storage(draw),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.unseen", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    quiet()
    made = attempt = 0
    while made < arguments.count:
        draw = random.Random(f"{arguments.seed}/{attempt}")
        recipe = draw.choice([dit, pixart, pixart])(draw, attempt)
        out = arguments.out / f"unseen_{arguments.seed}_{attempt}"
        attempt += 1
        try:
            writer(recipe)(store.fresh(out))
        except AssertionError as unfit:
            # Some draws saturate or die out: no fit golden, try the next.
            print(f"{out.name}: left out, {unfit}")
            shutil.rmtree(out)
            continue
        made += 1
        print(f"{out.name}: {recipe.pipeline}, {type(recipe.scheduler).__name__}, {recipe.dtype}, {recipe.request['size']}")


if __name__ == "__main__":
    main()
