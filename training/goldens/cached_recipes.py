"""The goldens of a step cache: around a dense transformer and around either way of merging, each where a mistake moves the result."""

from contextlib import ExitStack, contextmanager
from pathlib import Path

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

import torch

from . import cached, merged, pipelines
from .cached import StepCache
from .merged import Merging
from .merged_recipes import CLASSES, GIVEN, SMALL, TEXT, embeds
from .pipelines import Recipe
from .recipes import DIT, MILD, SIGMA, label

RECIPES = {
    "dense_pixart": (
        Recipe(
            "a dense transformer of four layers, whose inner two every other step adds again; guidance",
            SIGMA, DPMSolverMultistepScheduler(**MILD), embeds(5, 50, [24, 16]),
            transformer={**TEXT, "num_layers": 4, "patch_size": 2, "out_channels": 8, "sample_size": 12}, **GIVEN,
        ),
        "every=2,first=1,last=1", None,
    ),
    "sdtm_pixart": (
        Recipe(
            "sdtm through both stages, its protected steps of either kind: an odd one renews nothing of the blocks it skips; guidance",
            SIGMA, DPMSolverMultistepScheduler(**MILD), embeds(10, 51, [24, 16]),
            transformer={**TEXT, "num_layers": 4, "sample_size": 12}, **GIVEN,
        ),
        "every=2,first=1,last=1", Merging("sdtm", 0.3, {"switch_step": 5, "multiple": 1, "cache_weight": 0.4, "a_s": 0.2}),
    ),
    "tome_dit": (
        Recipe(
            "tome for attention and MLP; every third step computes, and the first block is among those skipped",
            DIT, DDIMScheduler(clip_sample=False, **MILD), label(3, 5, 1.0, 52, [16, 16]),
            transformer={**CLASSES, "num_layers": 3, "sample_size": 8}, autoencoder=SMALL, dtype="f16",
        ),
        "every=3,first=0,last=1", Merging("tome", 0.5, {"mlp": True}),
    ),
}  # fmt: skip


@contextmanager
def in_vain(transformer, cache: StepCache, seen):
    """Wrong: skipped blocks run, so that they age and remember; only their result is thrown away."""
    first, end = cache.first, len(transformer.transformer_blocks) - cache.last

    added, before = None, None

    def note(_block, arguments):
        nonlocal before
        before = arguments[0]

    def keep(_block, _arguments, output):
        nonlocal added
        if seen.step % cache.every == 0:
            added = output - before

    def spoil(block, arguments, _output):
        if seen.step % cache.every:
            return arguments[0] + added if block is inner[0] else arguments[0]

    inner = transformer.transformer_blocks[first:end]
    hooks = [inner[0].register_forward_pre_hook(note), inner[-1].register_forward_hook(keep)]
    hooks += [block.register_forward_hook(spoil) for block in inner]
    yield
    for hook in hooks:
        hook.remove()


def mistakes(cache: StepCache, ages: bool) -> dict:
    """By name, what would be another cache."""

    def other(**changes):
        return lambda transformer, seen: cached.cached(transformer, StepCache(**{**vars(cache), **changes}), seen)

    found = {
        "no cache": other(every=1),
        "another rhythm": other(every=cache.every + 1),
        "another first block": other(first=cache.first + 1),
        "another last block": other(last=cache.last - 1),
    }
    if ages:
        found["skipped blocks that age"] = lambda transformer, seen: in_vain(transformer, cache, seen)
    return found


def off(made: dict, expected: dict) -> float:
    names = [name for name in expected if name.startswith("noise_pred.")]
    return max(((made[name] - expected[name]).norm() / expected[name].norm()).item() for name in names)


def writer(recipe: Recipe, text: str, merging: Merging | None, seeds: int = 60):
    cache = StepCache.read(text)
    policy = merging.request() if merging else {"compress": "dense"}
    request = {**policy, "step_cache": text}

    def run(out: Path, around):
        def within(pipe, seen):
            stack = ExitStack()
            if merging:
                stack.enter_context(merged.merged(pipe.transformer, policy, seen))
            stack.enter_context(around(pipe.transformer, seen))
            return stack

        return pipelines.run(recipe, out / "model", within)

    def write(out: Path) -> None:
        pipelines.save(recipe, out)
        first, reason = recipe.request["seed"], None
        for seed in range(first, first + seeds):  # the first under which no decision hangs on rounding
            recipe.request["seed"] = seed
            given, before, expected = run(out, lambda transformer, seen: cached.cached(transformer, cache, seen))
            try:
                if merging:
                    merged.clear(expected)
                break
            except AssertionError as unclear:
                reason = unclear
        else:
            raise AssertionError(f"no clear seed: {reason}")
        for name, mistake in mistakes(cache, policy["compress"] == "sdtm").items():
            moved = off(run(out, mistake)[2], expected)
            assert moved > 1e-3, f"{name} moves a noise prediction by no more than {moved:.1e}"
        pipelines.finish(recipe, out, given, before, expected, **request)

    return write
