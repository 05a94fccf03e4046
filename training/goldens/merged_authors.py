"""`python -m training.goldens.merged_authors --sdtm PATH/TR_SDTM.py --tome PATH/tomesd`: do `merged` and the methods' authors agree?

The two paths are in checkouts of github.com/ICTMCG/SDTM and github.com/dbolya/tomesd, of which nothing is kept here. Runs
their programs beside ours over many steps, deterministic and on square grids, which is all that SDTM's program takes:
first their functions on random tensors, with a random function for every sublayer; then whole random DiTs, in which
every block is one of theirs. Everything is f64, so that no decision hangs on rounding; a difference is an error.
"""

import argparse
import importlib
import importlib.util
import random
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch
from torch import nn

from . import merged, models
from .__main__ import quiet
from .routed import shifts_scales_gates

SCORES = 1e-12  # outputs in f64, relative


class Tally:
    """What was compared."""

    def __init__(self):
        self.decisions = self.ages = self.outputs = self.shared = 0
        self.worst = 0.0

    def output(self, ours: torch.Tensor, theirs: torch.Tensor, where: str) -> None:
        off = ((ours - theirs).norm() / theirs.norm()).item()
        self.outputs, self.worst = self.outputs + 1, max(self.worst, off)
        assert off < SCORES, f"{where}: outputs {off:.1e} apart"

    def decision(self, ours: torch.Tensor, theirs: torch.Tensor, where: str) -> None:
        self.decisions += len(ours)
        self.shared += (ours != torch.arange(ours.shape[1])).sum().item()
        assert torch.equal(ours, theirs), f"{where}: {(ours != theirs).sum()} destinations differ"

    def age(self, ours: torch.Tensor | None, theirs: torch.Tensor | None, where: str) -> None:
        if ours is None or theirs is None:
            assert ours is theirs, f"{where}: only one has ages"
            return
        self.ages += ours.numel()
        assert torch.equal(ours, theirs), f"{where}: {(ours != theirs).sum()} ages differ"

    def __str__(self) -> str:
        return (
            f"{self.decisions} decisions equal ({self.shared} tokens joined another), {self.ages} ages equal, "
            f"{self.outputs} outputs at most {self.worst:.1e} apart"
        )


def load_sdtm(path: Path):
    """Their file, with a stand-in for whatever it imports that is not here."""
    while True:
        try:
            spec = importlib.util.spec_from_file_location("authors_sdtm", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        except ModuleNotFoundError as missing:
            print(f"(a stand-in for {missing.name})")
            sys.modules[missing.name] = MagicMock()


def load_tome(path: Path):
    sys.path.insert(0, str(path.resolve().parent))
    return importlib.import_module(f"{path.resolve().name}.patch"), importlib.import_module(f"{path.resolve().name}.merge")


@contextmanager
def recorded(module, names: list[str]):
    """Notes what their functions return: the callables that merge and unmerge."""
    returned, originals = [], {name: getattr(module, name) for name in names}
    for name, original in originals.items():
        setattr(module, name, lambda *a, _call=original, **k: (returned.append(_call(*a, **k)), returned[-1])[1])
    yield returned
    for name, original in originals.items():
        setattr(module, name, original)


def shared_rows(unmerge, batch: int, compact: int) -> torch.Tensor:
    """Which compact row each token receives, [B, N]."""
    return unmerge(torch.arange(compact, dtype=torch.float64).expand(batch, -1)[..., None].contiguous())[..., 0].long()


def sublayers(width: int, generator: torch.Generator):
    """Random functions that are blind to the order of tokens: one that mixes them, one that does not."""
    q, k, v, up, down = (torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5 for _ in range(5))
    return lambda x: torch.softmax(2 * (x @ q) @ (x @ k).mT, -1) @ (x @ v), lambda x: torch.tanh(x @ up) @ down


def sdtm_functions(theirs, draw: random.Random, options: dict, side: int, steps: int, layers: int, tally: Tally) -> None:
    """Their compute_merge, and with it compute_ratio, SSM and FIDM, on random tensors, as their block calls them."""
    generator = torch.Generator("cpu").manual_seed(draw.getrandbits(40))
    batch, tokens, width = draw.choice([1, 2, 3, 4]), side * side, draw.choice([8, 16])
    policy = merged.Sdtm(options, steps)
    info = patch_sdtm(theirs, Pipe(nn.Identity()), options)._tore_info
    states = info["states"] | {"step_count": steps, "layer_count": layers}
    info["states"] = states
    if draw.random() < 0.4:
        # Ages no run without randomness comes to: the first token of a window need not be among its oldest.
        policy.ages = torch.randint(5, (batch, tokens), generator=generator, dtype=torch.int32)
        states["last_independent"] = policy.ages.clone()
    cache = info["features"]
    gates = torch.randn(layers, 2, batch, 1, width, generator=generator, dtype=torch.float64)
    functions = [sublayers(width, generator) for _ in range(layers)]
    base = torch.randn(batch, tokens, width, generator=generator, dtype=torch.float64)
    for step in range(steps):
        x = base + 0.4 * torch.randn(batch, tokens, width, generator=generator, dtype=torch.float64)
        structure = step <= options["switch_step"]
        states |= {"step_current": step, "merge_attn": structure, "merge_mlp": True}
        for layer, (attention, mlp) in enumerate(functions):
            where = f"step {step}, layer {layer}, {options}"
            states["layer_current"] = layer
            plan = policy.plan(step, layer, x, x, (side, side))
            every = options["protect_every"]
            if every > 0 and step % every == 0:
                assert plan.attention is None and plan.mlp is None
                mine = gates[layer, 0] * attention(x), gates[layer, 1] * mlp(x)
                plan.done(*mine)
                for name, value in zip(["attn_output", "mlp_output"], mine):
                    cache[name] = {**(cache[name] or {}), f"l{layer}": value}
                continue
            with recorded(theirs, ["SSM", "FIDM"]) as returned:
                merge_attention, merge_mlp, unmerge_attention, unmerge_mlp = theirs.compute_merge(x, info)
            tally.age(policy.ages, states["last_independent"], where)
            if plan.mlp is None:
                assert merge_mlp is theirs.do_nothing, where
            else:
                _, prune, unmerge = returned[0]
                states["unmerge_phase"] = None
                heads = prune(torch.arange(tokens, dtype=torch.float64).expand(batch, -1)[..., None].contiguous())[..., 0].long()
                rows = shared_rows(unmerge, batch, heads.shape[1])
                tally.decision(plan.mlp.destination, heads.gather(1, rows), where)
            for kind, phase, function, m, u in [
                ("attention", "attn_output", attention, merge_attention, unmerge_attention),
                ("mlp", "mlp_output", mlp, merge_mlp, unmerge_mlp),
            ]:
                gate = gates[layer, int(kind == "mlp")]
                states["unmerge_phase"] = phase
                ours = merged.branch(function, x, gate, getattr(plan, kind), getattr(plan, f"cached_{kind}"), plan.weight)
                tally.output(ours, u(gate * function(m(x))), f"{kind}, {where}")


def patch_sdtm(theirs, pipe, options: dict):
    return theirs.apply_SDTM(
        pipe, ratio=options["ratio"], deviation=options["deviation"], switch_step=options["switch_step"], use_rand=False,
        a_s=options["a_s"], a_d=options["a_d"], a_p=options["a_p"], mcw=options["cache_weight"],
        protect_steps_frequency=options["protect_every"],
    )  # fmt: skip


class JointTransformerBlock(nn.Module):
    """A DiT block with the parts and calls of the block that their program patches, which it knows by this name."""

    use_dual_attention, context_pre_only, _chunk_size = False, True, None

    def __init__(self, block):
        super().__init__()
        self.block, self.norm2, self.ff = block, block.norm3, block.ff

    def norm1(self, x, emb):
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = shifts_scales_gates(self.block, *emb)
        normed = self.block.norm1.norm(x) * (1 + scale_msa) + shift_msa
        return normed, gate_msa[:, 0], shift_mlp[:, 0], scale_mlp[:, 0], gate_mlp[:, 0]

    def norm1_context(self, text, _emb):
        return text

    def attn(self, hidden_states, encoder_hidden_states):
        return self.block.attn1(hidden_states), None


class Blocks(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks, self.config = nn.ModuleList(map(JointTransformerBlock, blocks)), SimpleNamespace(num_layers=len(blocks))

    def forward(self, x, emb):
        for block in self.blocks:
            _, x = block(x, None, emb)
        return x


class Pipe:
    """A sampler that only walks: the next step's tokens are this step's, moved by what the blocks say."""

    def __init__(self, transformer):
        self.transformer = transformer

    def __call__(self, x, emb, num_inference_steps: int, seen):
        for step in range(num_inference_steps):
            out = self.transformer(x, emb(step))
            seen.append((x, out, (self._tore_info["states"]["last_independent"])))
            seen[-1] = tuple(None if value is None else value.clone() for value in seen[-1])
            x = 0.9 * x + 0.3 * torch.tanh(out)


def random_dit(draw: random.Random, side: int, layers: int):
    shape = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": layers, "patch_size": 1, "sample_size": side}
    dit = models.dit(seed=draw.getrandbits(40), **shape, num_embeds_ada_norm=10).double()
    for block in dit.transformer_blocks:
        block.norm1.emb.double()
    return dit


def sdtm_blocks(theirs, draw: random.Random, options: dict, side: int, steps: int, layers: int, tally: Tally) -> None:
    """Their pipeline, model and block around random DiT blocks, against our block on the same inputs."""
    batch = draw.choice([1, 2, 3])
    blocks = random_dit(draw, side, layers).transformer_blocks
    pipe = patch_sdtm(theirs, Pipe(Blocks(blocks)), options)
    generator = torch.Generator("cpu").manual_seed(draw.getrandbits(40))
    x = torch.randn(batch, side * side, 16, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (batch,), generator=generator)
    emb, seen = lambda step: (torch.full((batch,), 999 - 50 * step), labels), []
    pipe(x, emb, num_inference_steps=steps, seen=seen)

    policy = merged.Sdtm(options, steps)
    for step, (x, theirs_out, ages) in enumerate(seen):
        for layer, block in enumerate(blocks):
            x = merged.merged_block(block, x, lambda x, normed: policy.plan(step, layer, x, normed, (side, side)), *emb(step))
        where = f"step {step} of blocks, {options}"
        tally.output(x, theirs_out, where)
        tally.age(policy.ages, ages, where)


def sdtm(theirs, draw: random.Random, tally: Tally) -> None:
    side, steps, layers = draw.choice([8, 12, 16, 20]), draw.randint(4, 12), draw.randint(1, 4)
    options = {
        **merged.DEFAULTS["sdtm"], "ratio": round(draw.uniform(0.05, 0.5), 3), "deviation": round(draw.uniform(0, 0.25), 3),
        "switch_step": draw.randint(-1, steps), "protect_every": draw.choice([0, -1, 1, 2, 3, 3, 4]),
        "cache_weight": draw.choice([0.0, 0.1, 0.2, 0.7, 1.0]), "a_s": draw.choice([0.0, 0.05, 0.4]),
    }  # fmt: skip
    sdtm_functions(theirs, draw, options, side, steps, layers, tally)
    sdtm_blocks(theirs, draw, options, side, steps, layers, tally)


def tome(patch, merge, draw: random.Random, tally: Tally) -> None:
    """Their compute_merge on random tensors; then a whole DiT of diffusers with their patch."""
    batch, width, layers = draw.choice([1, 2, 3, 4]), draw.choice([8, 16]), draw.randint(1, 3)
    rows, columns = draw.choice([(2, 2), (2, 2), (2, 3), (3, 2), (1, 4), (4, 4)])
    height, across = draw.randint(rows, 17), draw.randint(columns, 17)
    options = {**merged.DEFAULTS["tome"], "ratio": round(draw.uniform(0.02, 0.98), 3), "stride": f"{rows}x{columns}"}
    options |= dict(zip(["attn", "mlp"], draw.choice([(True, False), (True, True), (False, True)])))
    generator = torch.Generator("cpu").manual_seed(draw.getrandbits(40))
    args = {"ratio": options["ratio"], "max_downsample": 1, "sx": columns, "sy": rows, "use_rand": False, "generator": None}
    args |= {"merge_attn": options["attn"], "merge_crossattn": False, "merge_mlp": options["mlp"]}
    policy, where = merged.Tome(options, 1), f"{height} × {across}, {options}"
    heads = merged.cells((height, across), (rows, columns))[:, 0]
    for _ in range(4):
        x = torch.randn(batch, height * across, width, generator=generator, dtype=torch.float64)
        gate = torch.randn(batch, 1, width, generator=generator, dtype=torch.float64)
        plan = policy.plan(0, 0, x, x, (height, across))
        with recorded(merge, ["bipartite_soft_matching_random2d"]) as returned:
            m_a, _, m_m, u_a, _, u_m = patch.compute_merge(x, {"size": (height, across), "args": args})
        m, u = returned[0]
        if (decision := plan.attention or plan.mlp) is None:
            assert m is merge.do_nothing, where
        else:
            # Their destination: the one token of a row that may be one, or the row's only token.
            received = shared_rows(u, batch, m(x).shape[1])
            is_head = torch.zeros(height * across, dtype=torch.bool).scatter(0, heads, True)
            same = received[:, :, None] == received[:, None, :]
            destination = torch.where((same & is_head).any(-1), (same & is_head).long().argmax(-1), same.long().argmax(-1))
            assert ((same & is_head).sum(-1) <= 1).all() and ((same & is_head).any(-1) | (same.sum(-1) == 1)).all(), where
            tally.decision(decision.destination, destination, where)
        for function, decision, m, u in zip(sublayers(width, generator), [plan.attention, plan.mlp], [m_a, m_m], [u_a, u_m]):
            ours = merged.branch(function, x, gate, decision, None, 1.0)
            tally.output(ours, u(gate * function(m(x))), where)

    side = draw.randint(6, 13)
    dit = random_dit(draw, side, layers)
    latents = torch.randn(batch, 4, side, side, generator=generator, dtype=torch.float64)
    words = {"timestep": torch.full((batch,), draw.randrange(1000)), "class_labels": torch.randint(10, (batch,), generator=generator)}
    with merged.merged(dit, {"compress": "tome", "ratio": options["ratio"], "set": options}, noting := Noting()):
        ours = dit(latents, **words).sample
    assert noting or int(side * side * options["ratio"]) == 0, where
    patch.apply_patch(dit, options["ratio"], 1, columns, rows, False, options["attn"], False, options["mlp"])
    tally.output(ours, dit(latents, **words).sample, f"a DiT of {side} × {side}, {options}")


class Noting(dict):
    """As much of a Capture as `merged` asks for."""

    step, steps = 0, 1


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens.merged_authors", description=__doc__)
    parser.add_argument("--sdtm", type=Path, help="TR_SDTM.py in a checkout of theirs")
    parser.add_argument("--tome", type=Path, help="the folder tomesd in a checkout of theirs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40, help="random settings of each method")
    arguments = parser.parse_args()
    quiet()
    for name, path, load, compare in [
        ("sdtm", arguments.sdtm, lambda path: (load_sdtm(path),), sdtm),
        ("tome", arguments.tome, load_tome, tome),
    ]:
        if path is None:
            continue
        theirs, tally, left_out = load(path), Tally(), 0
        for index in range(arguments.count):
            try:
                compare(*theirs, random.Random(f"{name}/{arguments.seed}/{index}"), tally)
            except AssertionError as reason:
                if "hangs on rounding" not in str(reason):
                    raise
                left_out += 1
        print(f"{name}: {arguments.count - left_out} settings, {tally}")


if __name__ == "__main__":
    main()
