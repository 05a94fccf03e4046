"""The goldens of routed pipelines: every rule of routing at least once, each where breaking it moves the result."""

from pathlib import Path

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from . import pipelines, routed
from .pipelines import Recipe
from .recipes import ALPHA, DIT, MILD, SIGMA, label, text
from .routed import Routing

ALL_BINS = tuple(n / 10 for n in range(11))  # with 0, which still keeps one token
SHORT_TEXT = {"max_sequence_length": 40}

RECIPES = {
    "dit_mlp": (
        Recipe(
            "one region; scores weigh the MLP's branch; 0.75 lies between two bins, 0.34 below its bin's half; a grid of 5 × 5",
            DIT, DDIMScheduler(clip_sample=False, **MILD), label(207, 4, 4.0, 20, [20, 20]),
            transformer={"num_attention_heads": 2, "sample_size": 10, "out_channels": 8, "num_layers": 3}, trace=True,
        ),
        Routing([[0.75, 0.34, 0.62]]),
    ),
    "dit_block_f16": (
        Recipe(
            "three regions; scores weigh the block's whole change; one token kept, all tokens kept; f16 weights; a grid of 7 × 7",
            DIT, DPMSolverMultistepScheduler(**MILD), label(3, 6, 3.0, 21, [14, 14]),
            transformer={"num_attention_heads": 2, "attention_head_dim": 12, "patch_size": 1, "sample_size": 7, "num_layers": 3},
            dtype="f16",
        ),
        Routing([[0.02, 1.0, 0.41], [0.55, 0.03, 0.93], [1.0, 0.25, 0.7]], scale="block", bins=ALL_BINS),
    ),
    "dit_regions": (
        Recipe(
            "timesteps on the very borders of four regions of 400 timesteps; every ratio another in every region; bins in no order",
            DIT, DDIMScheduler(num_train_timesteps=400, timestep_spacing="trailing", clip_sample=False, beta_end=0.015),
            label(7, 8, 1.5, 22, [12, 12]),
            transformer={"num_attention_heads": 2, "sample_size": 6, "patch_size": 1, "out_channels": 8},
        ),
        Routing(
            [[0.2, 0.9], [0.4, 0.7], [0.65, 0.5], [0.95, 0.3]], bins=(0.5, 1.0, 0.2, 0.8, 0.3, 0.4, 0.6, 0.7, 0.9),
            train_timesteps=400,
        ),
    ),
    "pixart_sigma_mlp": (
        Recipe(
            "four regions; text beside routed tokens; guidance, whose halves keep different tokens; wider than high, 7 × 5",
            SIGMA, DPMSolverMultistepScheduler(solver_order=2, **MILD), text(8, 23, [56, 40], **SHORT_TEXT),
            transformer={"num_attention_heads": 2, "attention_head_dim": 10, "sample_size": 16, "caption_channels": 14, "num_layers": 3},
            autoencoder={"channels": (4, 6, 8)}, text_encoder={"d_model": 14}, trace=True,
        ),
        Routing([[0.9, 0.35, 0.6], [0.71, 0.44, 0.52], [0.75, 0.3, 0.85], [1.0, 0.58, 1.0]]),
    ),
    "pixart_alpha_block": (
        Recipe(
            "scores weigh the change with cross-attention in it; uneven bins with two ties; fractional timesteps; size conditions",
            ALPHA, EulerDiscreteScheduler(use_karras_sigmas=True, beta_schedule="scaled_linear", **MILD),
            text(5, 24, [24, 40], **SHORT_TEXT), transformer={"sample_size": 128, "num_layers": 2}, trace=True,
        ),
        Routing([[0.8, 0.3], [0.425, 0.97], [1.0, 0.55]], scale="block", bins=(0.25, 0.6, 1.0)),
    ),
    "pixart_large": (
        Recipe(
            "a grid of 20 × 32: more tokens than a workgroup has threads, and no power of two",
            SIGMA, DPMSolverMultistepScheduler(**MILD), text(3, 27, [64, 40], **SHORT_TEXT),
            transformer={"num_attention_heads": 2, "patch_size": 1, "sample_size": 24, "out_channels": 4, "num_layers": 3},
            text_encoder={"num_layers": 1}, dtype="f16",
        ),
        Routing([[0.5, 1.0, 0.62], [0.9, 0.31, 0.77]]),
    ),
    "pixart_mod": (
        Recipe(
            "compress mod: every layer and step keeps what the request says, on no bin's grid, whatever the matrix says",
            SIGMA, DPMSolverMultistepScheduler(**MILD), text(4, 25, [32, 40], **SHORT_TEXT),
            transformer={"attention_head_dim": 8, "num_attention_heads": 2, "num_layers": 3, "caption_channels": 18},
            text_encoder={"d_model": 18, "num_layers": 1},
        ),
        Routing([[0.9, 0.3, 0.8], [0.5, 1.0, 0.7]], bins=(0.3, 0.5, 0.7, 0.9, 1.0), compress="mod", ratio=0.4),
    ),
    "pixart_rescaled": (
        Recipe(
            "compress diffcr with a ratio: the matrix times one factor, held between the least bin and 1, snapped again",
            SIGMA, DPMSolverMultistepScheduler(**MILD), text(6, 26, [40, 24], **SHORT_TEXT),
            transformer={"num_attention_heads": 2, "attention_head_dim": 10, "num_layers": 4},
        ),
        Routing(
            [[0.91, 0.33, 0.62, 0.97], [0.84, 0.47, 0.58, 1.0], [0.96, 0.76, 0.88, 1.0]],
            scale="block", compress="diffcr", ratio=0.5,
        ),
    ),
}  # fmt: skip


def writer(recipe: Recipe, routing: Routing):
    def write(out: Path) -> None:
        pipelines.save(recipe, out)
        transformer, inputs = out / "model" / "transformer", []
        pipelines.run(recipe, out / "model", lambda pipe, _seen: routed.inputs_of_blocks(pipe.transformer, inputs))
        ratios = routed.ratios(routing.config(), routing.request())

        def within(pipe, seen):
            return routed.routed(pipe.transformer, *routed.load(transformer), ratios, seen)

        # The first routers under which no kept set hangs on rounding.
        for seed in range(40):
            routed.store(transformer, routed.draw_routers(inputs, seed), routing.config())
            given, before, expected = pipelines.run(recipe, out / "model", within)
            try:
                routed.clear(expected)
                break
            except AssertionError as unclear:
                reason = unclear
        else:
            raise AssertionError(f"no clear routers: {reason}")
        pipelines.finish(recipe, out, given, before, expected, **routing.request())

    return write
