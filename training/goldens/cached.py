"""A step cache around any transformer, for goldens: what the inner blocks add to the stream is computed at every n-th step and added again
in between. Written out as plainly as it can be said, and knowing nothing of what the blocks do."""

from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StepCache:
    every: int  # steps whose number this divides compute all blocks
    first: int = 1  # so many blocks at the start always compute
    last: int = 1  # so many at the end

    @staticmethod
    def read(text: str) -> "StepCache":
        """`every=2,first=1,last=1`, as the request has it."""
        return StepCache(**{key: int(value) for key, value in (part.split("=") for part in text.split(","))})


@contextmanager
def cached(transformer, cache: StepCache, seen):
    """Around the blocks as they are now, patched or not; `seen.step` is the step that runs.

    Where nothing is computed the block's own forward is not called: it neither decides nor ages nor remembers anything.
    """
    blocks = list(transformer.transformer_blocks)
    first, end = cache.first, len(blocks) - cache.last
    assert first < end, "no block to skip"
    before, added = None, None
    patched = [vars(block).get("forward") for block in blocks]  # what another patch left, which is put back

    def forward_of(layer: int, original):
        def forward(x, *arguments, **conditions):
            nonlocal before, added
            computes = seen.step % cache.every == 0
            if not computes and layer == first:
                return x + added
            if not computes and first < layer < end:
                return x
            if layer == first:
                before = x
            x = original(x, *arguments, **conditions)
            if computes and layer == end - 1:
                added = x - before
            return x

        return forward

    for layer, block in enumerate(blocks):
        block.forward = forward_of(layer, block.forward)
    yield
    for block, forward in zip(blocks, patched):
        del block.forward
        if forward is not None:
            block.forward = forward
