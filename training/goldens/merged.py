"""Transformers that merge tokens, for goldens: SDTM and ToMe without randomness, written out as plainly as they can be said.

A decision is a map from every token to the token whose row it shares; merging, unmerging, ages and caches follow from that
map alone. `merged_authors` compares all of it with the methods' public programs.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch

from .routed import shifts_scales_gates

# What a request leaves out.
DEFAULTS = {
    "sdtm": {
        "ratio": 0.3, "deviation": 0.2, "switch_step": 20, "protect_every": 3, "cache_weight": 0.1,
        "a_s": 0.05, "a_d": 0.05, "a_p": 2.0, "deterministic": True, "multiple": 16,
    },
    "tome": {"ratio": 0.5, "stride": "2", "attn": True, "mlp": False, "deterministic": True},
}  # fmt: skip
ROUNDING = 1e-6  # two programs' products of tokens and ratio may lie this far apart


@dataclass
class Merging:
    """What a merging golden adds to its recipe: goes into the request as it is."""

    compress: str
    ratio: float
    set: dict = field(default_factory=dict)

    def request(self) -> dict:
        return {"compress": self.compress, "ratio": self.ratio, "set": {"deterministic": True, **self.set}}


def options_of(request: dict) -> dict:
    options = {**DEFAULTS[request["compress"]], **request["set"], "ratio": request["ratio"]}
    unknown = set(options) - set(DEFAULTS[request["compress"]])
    assert not unknown and options["deterministic"], f"{unknown or 'randomness'} in the request"
    return options


@dataclass
class Decision:
    """Who shares a row with whom in one block at one step, and by how much it might have been otherwise."""

    destination: torch.Tensor  # [B, N]: the token whose row this token shares; its own where it is alone
    merged: torch.Tensor  # [B, N]: whether it counts as merged, which makes it age and blend with the cache
    scores: torch.Tensor  # what was ranked, see README
    margins: torch.Tensor  # [B, 2]: of the selection, of the nearest destinations; relative to the largest score

    @cached_property
    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Which tokens each compact row holds, [B, M, N], and which compact row each token has, [B, N]."""
        batch, tokens = self.destination.shape
        alone_or_joined = self.destination == torch.arange(tokens)
        heads = alone_or_joined.nonzero()[:, 1].reshape(batch, -1)  # as many in every sample, or this fails
        assert (alone_or_joined.sum(1) == heads.shape[1]).all()
        holds = heads[:, :, None] == self.destination[:, None, :]
        return holds, holds.long().argmax(dim=1)

    def merge(self, x: torch.Tensor) -> torch.Tensor:
        """[B, N, C] → [B, M, C]: a row is the mean of its tokens."""
        holds, _ = self.rows
        return holds.to(x.dtype) @ x / holds.sum(-1, keepdim=True)

    def unmerge(self, y: torch.Tensor) -> torch.Tensor:
        """[B, M, C] → [B, N, C]: all tokens of a row receive it."""
        _, row_of = self.rows
        return y.gather(1, row_of[..., None].expand(-1, -1, y.shape[-1]))


def cells(grid: tuple[int, int], stride: tuple[int, int]) -> torch.Tensor:
    """The tokens of every whole cell of the grid, [cells, rows · columns], everything in raster order."""
    (height, width), (rows, columns) = grid, stride
    numbers = torch.arange(height * width).reshape(height, width)
    corners = [(y * rows, x * columns) for y in range(height // rows) for x in range(width // columns)]
    return torch.stack([numbers[y : y + rows, x : x + columns].flatten() for y, x in corners])


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def highest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """scores [B, S] → the `count` highest, of equal ones the first, ascending [B, count]; and the margin to the rest [B]."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    margin = torch.ones(len(scores))
    if 0 < count < scores.shape[-1]:
        last, first = scores.gather(1, order[:, count - 1 : count + 1]).unbind(-1)
        margin = (last - first) / scores.abs().amax(-1)
    return order[:, :count].sort(dim=-1).values, margin


def match(metric: torch.Tensor, heads: torch.Tensor, count: int) -> Decision:
    """Joins the `count` tokens that are most like their most similar one of `heads` [B, D] to it."""
    batch, tokens, _ = metric.shape
    is_head = torch.zeros(batch, tokens, dtype=torch.bool).scatter(1, heads, True)
    sources = (~is_head).nonzero()[:, 1].reshape(batch, -1)  # [B, S]
    rows = torch.arange(batch)[:, None]
    metric = unit(metric)
    similar = metric[rows, sources] @ metric[rows, heads].mT  # [B, S, D]
    best, nearest = similar.max(-1)
    chosen, margin = highest(best, count)

    destination = torch.arange(tokens).expand(batch, -1).clone()
    destination[rows, sources[rows, chosen]] = heads[rows, nearest[rows, chosen]]
    merged = is_head.clone()
    merged[rows, sources[rows, chosen]] = True
    scores = torch.zeros_like(metric[..., 0])
    scores[rows, sources] = best
    margins = torch.ones(batch, 2)
    margins[:, 0] = margin
    if count and heads.shape[1] > 1:
        first, second = similar.topk(2).values[rows, chosen].unbind(-1)
        margins[:, 1] = ((first - second) / best.abs().amax(-1, keepdim=True)).amin(-1)
    return Decision(destination, merged, scores, margins)


def window_merge(metric: torch.Tensor, ages: torch.Tensor, grid: tuple[int, int], count: int, a_s: float) -> Decision:
    """Structure stage: the `count` windows of 2 × 2 with the highest score merge into their first token."""
    batch, tokens, _ = metric.shape
    windows = cells(grid, (2, 2))  # [W, 4]
    members = unit(metric)[:, windows]  # [B, W, 4, C]
    scores = (members @ members.mT).mean((-1, -2))  # of all 16 pairs, a token with itself too
    relative_age = ages / (ages.to(metric.dtype).mean(-1, keepdim=True) + 1e-6)
    scores = scores + a_s * relative_age[:, windows].mean(-1)
    chosen, margin = highest(scores, count)

    rows = torch.arange(batch)[:, None]
    destination = torch.arange(tokens).expand(batch, -1).clone()
    merged = torch.zeros(batch, tokens, dtype=torch.bool)
    for place in range(4):
        destination[rows, windows[chosen, place]] = windows[chosen, 0]
        merged[rows, windows[chosen, place]] = True
    return Decision(destination, merged, scores, torch.stack([margin, torch.ones(batch)], -1))


def detail_merge(metric: torch.Tensor, ages: torch.Tensor, grid: tuple[int, int], count: int) -> Decision:
    """Detail stage: in every window the first of the oldest tokens is a destination."""
    windows = cells(grid, (2, 2))
    oldest = ages[:, windows].argmax(-1)  # [B, W]
    return match(metric, windows.expand(len(metric), -1, -1).gather(2, oldest[..., None])[..., 0], count)


def aged(ages: torch.Tensor, decision: Decision) -> torch.Tensor:
    return torch.where(decision.merged, ages + 1, 0)


class Dense:
    """No merging in one block: what the other policies return for it fits here."""

    attention = mlp = None  # decisions
    cached_attention = cached_mlp = None
    weight = 1.0

    def done(self, attention: torch.Tensor, mlp: torch.Tensor) -> None:
        """Told the gated branches as they were added."""


class Sdtm:
    """One generation's state: the tokens' ages, which all layers share, and what protected steps left."""

    def __init__(self, options: dict, steps: int):
        self.options, self.steps = options, steps
        self.ages, self.cache = None, {}

    def ratio(self, step: int) -> float:
        progress = step / (self.steps - 1) if self.steps > 1 else 0.0
        ratio, deviation = self.options["ratio"], self.options["deviation"]
        return (ratio - deviation) + 2 * deviation * math.cos(progress * math.pi / 2)

    def counts(self, step: int, tokens: int) -> tuple[int, int]:
        """What the schedule asks for, and how many windows or sources that makes."""

        def from_product(product: float) -> tuple[int, int]:
            asked, multiple = int(product), self.options["multiple"]
            if self.structure(step):
                return asked, min(asked // (3 * multiple) * multiple, tokens // 4)
            return asked, min(asked, tokens - tokens // 4) // multiple * multiple

        product = tokens * self.ratio(step)
        near = [from_product(product + off) for off in (-ROUNDING, ROUNDING)]
        assert len({(asked > 0, count) for asked, count in near}) == 1, f"step {step}: {product} of {tokens} tokens hangs on rounding"
        return from_product(product)

    def structure(self, step: int) -> bool:
        return step <= self.options["switch_step"]

    def plan(self, step: int, layer: int, x: torch.Tensor, normed: torch.Tensor, grid: tuple[int, int]) -> Dense:
        assert grid[0] % 2 == 0 and grid[1] % 2 == 0, f"windows of 2 × 2 on {grid}"
        plan, every = Dense(), self.options["protect_every"]
        if every > 0 and step % every == 0:
            plan.done = lambda attention, mlp: self.cache.update({layer: (attention, mlp)})
            return plan
        batch, tokens, _ = x.shape
        asked, count = self.counts(step, tokens)
        if asked <= 0:
            return plan
        if self.ages is None:
            self.ages = torch.zeros(batch, tokens, dtype=torch.int32)
        if self.structure(step):
            plan.attention = plan.mlp = window_merge(normed, self.ages, grid, count, self.options["a_s"])
        else:
            plan.mlp = detail_merge(normed, self.ages, grid, count)
        self.ages = aged(self.ages, plan.mlp)
        plan.weight = self.options["cache_weight"]
        plan.cached_attention, plan.cached_mlp = self.cache.get(layer, (None, None))
        return plan


class Tome:
    """Has no state: every block and step decides alike."""

    ages = None

    def __init__(self, options: dict, _steps: int):
        self.options = options
        sides = [int(side) for side in str(options["stride"]).split("x")]
        self.stride = (sides[0], sides[-1])

    def plan(self, _step: int, _layer: int, x: torch.Tensor, _normed: torch.Tensor, grid: tuple[int, int]) -> Dense:
        heads, plan = cells(grid, self.stride)[:, 0], Dense()
        product = x.shape[1] * self.options["ratio"]
        count = min(int(product), x.shape[1] - len(heads))
        if count > 0:
            decision = match(x, heads.expand(len(x), -1), count)
            plan.attention = decision if self.options["attn"] else None
            plan.mlp = decision if self.options["mlp"] else None
        return plan


POLICIES = {"sdtm": Sdtm, "tome": Tome}


def branch(sublayer, rows, gate, decision, cached, weight):
    """A sublayer's gated output at every token."""
    if decision is None:
        return gate * sublayer(rows)
    out = decision.unmerge(gate * sublayer(decision.merge(rows)))
    if cached is None:
        return out
    return torch.where(decision.merged[..., None], weight * out + (1 - weight) * cached, out)


def merged_block(block, x, plan_for, timestep, class_labels=None, text=None, text_mask=None):
    """x [B, N, C] → [B, N, C]; `plan_for` is asked once, with the block's input and its normed and modulated form."""
    shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = shifts_scales_gates(block, timestep, class_labels)
    pixart = block.norm_type == "ada_norm_single"
    norm_msa, norm_mlp = (block.norm1, block.norm2) if pixart else (block.norm1.norm, block.norm3)

    normed = norm_msa(x) * (1 + scale_msa) + shift_msa
    plan = plan_for(x, normed)
    attention = branch(block.attn1, normed, gate_msa, plan.attention, plan.cached_attention, plan.weight)
    x = x + attention
    if pixart:  # cross-attention is at every token
        x = x + block.attn2(x, encoder_hidden_states=text, attention_mask=text_mask)
    normed = norm_mlp(x) * (1 + scale_mlp) + shift_mlp
    mlp = branch(block.ff, normed, gate_mlp, plan.mlp, plan.cached_mlp, plan.weight)
    plan.done(attention, mlp)
    return x + mlp


@contextmanager
def merged(transformer, request: dict, seen):
    """Makes a loaded transformer merge as the request says, and notes every decision in `seen`, a Capture."""
    policy = POLICIES[request["compress"]](options_of(request), seen.steps)
    grid, patch = [], transformer.config.patch_size

    def note_grid(_module, arguments, options):
        latents = arguments[0] if arguments else options["hidden_states"]
        grid[:] = (latents.shape[-2] // patch, latents.shape[-1] // patch)

    def forward_of(layer: int, block):
        def forward(x, encoder_hidden_states=None, encoder_attention_mask=None, timestep=None, class_labels=None, **_unused):
            def plan_for(x, normed):
                plan = policy.plan(seen.step, layer, x, normed, tuple(grid))
                if (decision := plan.attention or plan.mlp) is not None:
                    place = f"{seen.step}.{layer}"
                    seen[f"merge.destination.{place}"] = decision.destination.to(torch.int32)
                    seen[f"merge.score.{place}"] = decision.scores
                    seen[f"merge.margin.{place}"] = decision.margins
                    if policy.ages is not None:
                        seen[f"merge.age.{place}"] = policy.ages
                return plan

            return merged_block(block, x, plan_for, timestep, class_labels, encoder_hidden_states, encoder_attention_mask)

        return forward

    hook = transformer.register_forward_pre_hook(note_grid, with_kwargs=True)
    for layer, block in enumerate(transformer.transformer_blocks):
        block.forward = forward_of(layer, block)
    yield
    hook.remove()
    for block in transformer.transformer_blocks:
        del block.forward


def clear(seen, margin: float = 5e-5) -> None:
    """Something must merge, and no decision may hang on rounding."""
    names = [name for name in seen if name.startswith("merge.margin.")]
    some = [name for name in seen if name.startswith("merge.destination.") and (seen[name] != torch.arange(seen[name].shape[1])).any()]
    assert some, "nothing merges"
    worst = min(names, key=lambda name: seen[name].min())
    assert seen[worst].min() > margin, f"{worst}: {seen[worst].min():.1e} from another decision"
