"""`python -m training.goldens.merged_sensitivity tests/goldens/merged`: do the merging goldens notice a rule of merging broken?

Runs each saved folder again with one rule broken and prints how far the worst noise prediction moves (relative L2). A blank:
the rule is of no effect there. What a golden covers has to stand far above 3e-5, the tolerance of the tests.
"""

import argparse
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors.torch import load_file

from . import merged, pipelines
from .__main__ import quiet
from .merged import Decision, Dense, Sdtm, Tome
from .pipelines import Recipe

BRANCH, MATCH, WINDOWS, DETAIL = merged.branch, merged.match, merged.window_merge, merged.detail_merge
SDTM_PLAN, TOME_PLAN, RATIO, STRUCTURE = Sdtm.plan, Tome.plan, Sdtm.ratio, Sdtm.structure


def planned(change):
    """Every plan of either policy, after `change` was made to it."""

    def changed(original):
        def plan(self, *given):
            plan = original(self, *given)
            change(self, plan, *given)
            return plan

        return plan

    return [(Sdtm, "plan", changed(SDTM_PLAN)), (Tome, "plan", changed(TOME_PLAN))]


def no_merging(_policy, plan, *_given):
    plan.attention = plan.mlp = None


def attention_too(_policy, plan, *_given):
    plan.attention = plan.mlp or plan.attention


def mlp_too(_policy, plan, *_given):
    plan.mlp = plan.attention or plan.mlp


def first_of_batch(decision: Decision) -> Decision:
    return replace(decision, destination=decision.destination[:1].expand_as(decision.destination), merged=decision.merged[:1].expand_as(decision.merged))


def alike(policy, plan, *_given):
    plan.attention, plan.mlp = (of and first_of_batch(of) for of in (plan.attention, plan.mlp))


def sources_alone(_policy, plan, *_given):
    for of in filter(None, (plan.attention, plan.mlp)):
        of.merged = of.destination != torch.arange(of.destination.shape[1])


def joined_alone(_policy, plan, *_given):
    """Destinations that nothing joined do not blend."""
    for of in filter(None, (plan.attention, plan.mlp)):
        moved = of.destination != torch.arange(of.destination.shape[1])
        of.merged = moved | torch.zeros_like(moved).scatter(1, of.destination, moved)


def other_metric(original):
    return lambda self, step, layer, x, normed, grid: original(self, step, layer, normed, x, grid)


def never_reset(self, *given):
    before = self.ages
    plan = SDTM_PLAN(self, *given)
    if plan.mlp is not None:
        self.ages = (torch.zeros_like(self.ages) if before is None else before) + plan.mlp.merged
    return plan


def ages_of_each_layer(self, step, layer, *given):
    kept = self.__dict__.setdefault("kept", {})
    self.ages = kept.get(layer)
    plan = SDTM_PLAN(self, step, layer, *given)
    kept[layer] = self.ages
    return plan


def oldest_cache(self, step, layer, *given):
    """The first protected step's alone."""
    plan = SDTM_PLAN(self, step, layer, *given)
    if step and plan.attention is None and plan.mlp is None:
        plan.done = Dense().done
    return plan


def head_alone(self, x):
    holds, _ = self.rows
    return x.gather(1, holds.long().argmax(-1)[..., None].expand(-1, -1, x.shape[-1]))


def swapped(original):
    def init(self, options, steps):
        original(self, options, steps)
        self.stride = self.stride[::-1]

    return init


MISTAKES = {
    "nothing wrong": [],
    "no merging": planned(no_merging),
    "attention in detail": planned(attention_too),
    "mlp too": planned(mlp_too),
    "one decision a batch": planned(alike),
    "first token, not mean": [(Decision, "merge", head_alone)],
    "last of the oldest": [(merged, "detail_merge", lambda metric, ages, *rest: DETAIL(metric, ages * 4 + torch.arange(ages.shape[1]) % 2, *rest))],
    "other metric": [(Sdtm, "plan", other_metric(SDTM_PLAN)), (Tome, "plan", other_metric(TOME_PLAN))],
    "no cache": [(merged, "branch", lambda *a: BRANCH(*a[:4], None, 1.0))],
    "cache the other way": [(merged, "branch", lambda *a: BRANCH(*a[:5], 1 - a[5]))],
    "first cache for ever": [(Sdtm, "plan", oldest_cache)],
    "only sources blend": planned(sources_alone),
    "lone heads do not": planned(joined_alone),
    "no ages in scores": [(merged, "window_merge", lambda *a: WINDOWS(*a[:4], 0.0))],
    "ages never reset": [(Sdtm, "plan", never_reset)],
    "ages of each layer": [(Sdtm, "plan", ages_of_each_layer)],
    "no ages in detail": [(merged, "detail_merge", lambda metric, ages, *rest: DETAIL(metric, ages * 0, *rest))],
    "a linear schedule": [(Sdtm, "ratio", lambda self, step: self.options["ratio"] + self.options["deviation"] * (1 - 2 * step / (self.steps - 1)))],
    "switched a step early": [(Sdtm, "structure", lambda self, step: STRUCTURE(self, step + 1))],
    "stride's sides swapped": [(Tome, "__init__", swapped(Tome.__init__))],
}  # fmt: skip


def moved(folder: Path, mistake: list) -> float:
    request = json.loads((folder / "request.json").read_text())
    given = ("prompt_embeds",) if "prompt_embeds" in request["given"] else ()
    recipe = Recipe("", request["pipeline"], None, request, given=given)
    with ExitStack() as stack:
        for owner, name, other in mistake:
            stack.enter_context(patch.object(owner, name, other))
        _, _, made = pipelines.run(recipe, folder / "model", lambda pipe, seen: merged.merged(pipe.transformer, request, seen))
    true = load_file(folder / "expected.safetensors")
    names = [name for name in true if name.startswith("noise_pred.")]
    return max(((made[name] - true[name]).norm() / true[name].norm()).item() for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.merged_sensitivity", description=__doc__)
    parser.add_argument("folder", type=Path)
    folders = sorted(path.parent for path in parser.parse_args().folder.glob("*/request.json"))
    quiet()
    torch.set_num_threads(1)
    print(f"{'':24}" + "".join(f"{folder.name:>23}" for folder in folders))
    for name, mistake in MISTAKES.items():
        row = []
        for folder in folders:
            try:
                value = moved(folder, mistake)
                row.append(f"{format(value, '.1e') if value else '':>23}")
            except AssertionError:
                row.append(f"{'-':>23}")  # another count, which hangs on rounding
        print(f"{name:24}" + "".join(row), flush=True)


if __name__ == "__main__":
    main()
