"""A row's model and policy in PyTorch, by the programs behind the goldens: what the engine's pictures are compared with."""

from contextlib import ExitStack, contextmanager

from ..diffcr import load_routed
from ..goldens import kv, merged
from ..goldens.cached import StepCache, cached
from .rows import Row


def load(row: Row):
    policy, ratio = (row.policy, row.ratio) if row.policy in ("diffcr", "mod") else ("dense", None)
    pipeline = load_routed(row.model, policy=policy, ratio=ratio)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Unwatched:
    """What the goldens' programs run under in place of a Capture: knows the step, keeps nothing."""

    def __init__(self, steps: int):
        self.steps, self.step = steps, 0

    def __setitem__(self, name, value):
        pass

    def count(self, *_):
        self.step += 1


@contextmanager
def compressed(row: Row, transformer, steps: int):
    """For the pictures of one call: what policies carry from step to step starts anew with each."""
    seen = Unwatched(steps)
    with ExitStack() as stack:
        if row.policy in ("sdtm", "tome"):
            stack.enter_context(merged.merged(transformer, {"compress": row.policy, "ratio": row.ratio, "set": row.set}, seen))
        elif row.policy == "kv":
            stack.enter_context(pooled(row, transformer))
        if row.step_cache:
            stack.enter_context(cached(transformer, StepCache.read(row.step_cache), seen))
        stack.callback(transformer.register_forward_hook(seen.count).remove)
        yield


def pooled(row: Row, transformer):
    count = len(transformer.transformer_blocks)
    first, last = map(int, row.set.get("layers", f"{count // 2}-{count - 1}").split("-"))
    layers = list(range(first, last + 1))
    config = {"sampling": row.set.get("sampling", "average"), "scale_factor": int(row.set.get("stride", 2)), "kv_compress_layer": layers}
    return kv.compressed(transformer, config, dict.fromkeys(layers, {}))
