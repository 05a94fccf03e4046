"""Routed transformers for goldens: every block's forward replaced by the routed block, written out as plainly as it can be said.

On purpose it shares nothing with the code that trains such models: two independent readings of one rule check each other.
"""

import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"
TIE = 1e-6  # ratios this near to the middle between two bins count as in the middle


@dataclass
class Routing:
    """What a routed golden adds to its recipe; `compress` and `ratio` go into the request."""

    kept_ratio: list[list[float]]  # [regions][layers], the noisiest region first
    scale: str = "mlp"
    bins: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    train_timesteps: int = 1000
    compress: str | None = None
    ratio: float | None = None

    def config(self) -> dict:
        names = ["scale", "bins", "kept_ratio", "train_timesteps"]
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in names}

    def request(self) -> dict:
        return {name: value for name in ["compress", "ratio"] if (value := getattr(self, name)) is not None}


def nearest_bin(ratio: float, bins: list[float]) -> float:
    """Of two bins equally far away the larger."""
    distance = min(abs(b - ratio) for b in bins)
    return max(b for b in bins if abs(b - ratio) <= distance + TIE)


def ratios(config: dict, request: dict) -> list[list[float]]:
    """The kept ratios that apply, [regions][layers], after what the request asks for."""
    matrix, bins = config["kept_ratio"], config["bins"]
    if request.get("compress") == "mod":
        return [[1 - request["ratio"]] * len(row) for row in matrix]
    if "ratio" not in request:
        return [[nearest_bin(r, bins) for r in row] for row in matrix]
    return rescaled(matrix, bins, 1 - request["ratio"])


def rescaled(matrix, bins, target: float) -> list[list[float]]:
    """The whole matrix times one factor, snapped: as near to the target mean as that gets."""

    def snapped(factor: float) -> list[list[float]]:
        return [[nearest_bin(min(max(factor * r, min(bins)), 1.0), bins) for r in row] for row in matrix]

    def mean(rows) -> float:
        return sum(map(sum, rows)) / sum(map(len, rows))

    # The mean grows with the factor in jumps: bisect to the jump at the target, then take the better side of it.
    low, high = 0.0, 1 / min(r for row in matrix for r in row if r > 0)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(snapped(middle)) < target else (low, middle)
    below, above = snapped(low), snapped(high)
    off_below, off_above = abs(mean(below) - target), abs(mean(above) - target)
    assert abs(off_below - off_above) > 1e-3, "both sides of the jump are equally near the target"
    assert snapped(low * (1 - 1e-4)) == below and snapped(high * (1 + 1e-4)) == above, "two jumps too near each other"
    return below if off_below < off_above else above


def region(timestep: float, regions: int, train_timesteps: int) -> int:
    """0 is the noisiest. A scheduler's first timestep may lie a little above the last trained one."""
    place = (train_timesteps - 1 - timestep) * regions / train_timesteps
    assert float(timestep).is_integer() or abs(place - round(place)) > 1e-3, f"timestep {timestep} lies on a region's border"
    return max(0, min(regions - 1, math.floor(place)))


def kept_count(ratio: float, tokens: int) -> int:
    return max(1, min(tokens, math.ceil(ratio * tokens - 1e-4)))


def select(logits: torch.Tensor, count: int) -> torch.Tensor:
    """logits [B, N] → indices [B, count]: the highest, of equal ones the first, in ascending order."""
    rows = []
    for row in logits.tolist():
        by_score = sorted(range(len(row)), key=lambda n: (-row[n], n))
        rows.append(sorted(by_score[:count]))
    return torch.tensor(rows)


def shifts_scales_gates(block, timestep, class_labels):
    """(shift, scale, gate) of self-attention, then of the MLP, each [B, 1, C]."""
    if block.norm_type == "ada_norm_single":  # PixArt: a table for every block, added to what all blocks share
        return (block.scale_shift_table[None] + timestep.reshape(len(timestep), 6, -1)).chunk(6, dim=1)
    embedded = block.norm1.emb(timestep, class_labels, hidden_dtype=block.norm1.linear.weight.dtype)
    return [part[:, None] for part in block.norm1.linear(block.norm1.silu(embedded)).chunk(6, dim=1)]


def routed_block(block, x, scores, kept, scale, timestep, class_labels=None, text=None, text_mask=None):
    """x [B, N, C], scores [B, N], kept [B, k] → [B, N, C]."""
    shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = shifts_scales_gates(block, timestep, class_labels)
    pixart = block.norm_type == "ada_norm_single"
    norm_msa, norm_mlp = (block.norm1, block.norm2) if pixart else (block.norm1.norm, block.norm3)

    rows = torch.arange(len(x))[:, None]  # [B, 1], beside kept: one index pair for every kept token
    before = x[rows, kept]  # [B, k, C]
    s = scores[rows, kept][..., None]  # [B, k, 1]

    # 1. Self-attention: queries, keys and values are the kept tokens alone.
    attention = gate_msa * block.attn1(norm_msa(before) * (1 + scale_msa) + shift_msa)
    after = before + attention
    # 2. Cross-attention to the whole text; DiT has none.
    cross = torch.zeros_like(before)
    if pixart:
        cross = block.attn2(after, encoder_hidden_states=text, attention_mask=text_mask)
    after = after + cross
    # 3. MLP.
    mlp = gate_mlp * block.ff(norm_mlp(after) * (1 + scale_mlp) + shift_mlp)
    if scale == "mlp":
        after = after + s * mlp
    else:  # "block"
        after = before + s * (attention + cross + mlp)

    # 4. Bypassed rows keep their input.
    out = x.clone()
    out[rows, kept] = after
    return out


@contextmanager
def routed(transformer, routers: list[torch.Tensor], config: dict, matrix: list[list[float]], seen):
    """Makes a loaded transformer a routed one, of these kept ratios, and notes scores and kept sets in `seen`, a Capture."""
    now = {}

    def note_timestep(_module, _arguments, options):
        now["region"] = region(float(options["timestep"].flatten()[0]), len(matrix), config["train_timesteps"])

    def forward_of(layer: int, block):
        def forward(x, encoder_hidden_states=None, encoder_attention_mask=None, timestep=None, class_labels=None, **_unused):
            logits = (x @ routers[layer].T)[..., 0]  # [B, N]
            kept = select(logits, kept_count(matrix[now["region"]][layer], x.shape[1]))
            seen[f"router.logits.{seen.step}.{layer}"] = logits
            seen[f"router.scores.{seen.step}.{layer}"] = torch.sigmoid(logits)
            seen[f"router.kept.{seen.step}.{layer}"] = torch.zeros_like(logits).scatter(1, kept, 1.0)
            text = encoder_hidden_states, encoder_attention_mask
            return routed_block(block, x, torch.sigmoid(logits), kept, config["scale"], timestep, class_labels, *text)

        return forward

    hook = transformer.register_forward_pre_hook(note_timestep, with_kwargs=True)
    for layer, block in enumerate(transformer.transformer_blocks):
        block.forward = forward_of(layer, block)
    yield
    hook.remove()
    for block in transformer.transformer_blocks:
        del block.forward


def clear(seen, margin: float = 5e-4) -> None:
    """No kept set may hang on rounding, and no router may say the same of all tokens. Takes the logits out of `seen`."""
    for name in [name for name in seen if name.startswith("router.logits.")]:
        logits, kept = seen.pop(name), seen[name.replace("logits", "kept")].bool()
        for z, mask in zip(logits, kept):
            if not mask.all():
                gap = (z[mask].min() - z[~mask].max()).item()
                assert gap > margin, f"{name}: {gap:.1e} between the last kept and the first bypassed token"
    scores = torch.cat([value.flatten() for name, value in seen.items() if name.startswith("router.scores.")])
    low, high = scores.quantile(0.05).item(), scores.quantile(0.95).item()
    assert 0.02 < low < 0.3 and 0.7 < high < 0.98, f"scores between {low:.2f} and {high:.2f}"


@contextmanager
def inputs_of_blocks(transformer, seen: list[list[torch.Tensor]]):
    """Collects each block's inputs of a dense run: per block a list of [tokens, C], one for each step."""
    seen += [[] for _ in transformer.transformer_blocks]

    def note(layer: int):
        return lambda _module, arguments: seen[layer].append(arguments[0].flatten(0, 1))

    hooks = [block.register_forward_pre_hook(note(layer)) for layer, block in enumerate(transformer.transformer_blocks)]
    yield
    for hook in hooks:
        hook.remove()


def draw_routers(inputs: list[list[torch.Tensor]], seed: int) -> list[torch.Tensor]:
    """One random [1, C] per block whose logits over that block's inputs have mean 0 and deviation 1.3.

    A router has no bias, so what all tokens have in common must not lie along its weight.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    routers = []
    for steps in inputs:
        tokens = torch.cat(steps)
        common, weight = tokens.mean(0), torch.randn(tokens.shape[-1], generator=generator)
        weight -= common * (weight @ common) / (common @ common)
        routers.append((1.3 * weight / (tokens @ weight).std())[None])
    return routers


def store(folder: Path, routers: list[torch.Tensor], config: dict) -> None:
    """Puts the routers and their config into a transformer's folder, in the dtype of its weights."""
    weights = load_file(folder / WEIGHTS)
    dtype = weights["transformer_blocks.0.attn1.to_q.weight"].dtype
    weights |= {f"transformer_blocks.{layer}.router.weight": router.to(dtype) for layer, router in enumerate(routers)}
    save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "diffcr": config}, indent=2) + "\n")


def load(folder: Path) -> tuple[list[torch.Tensor], dict]:
    """Routers [1, C] in f32, as rounded in the file, and the config's entry."""
    weights = load_file(folder / WEIGHTS)
    config = json.loads((folder / "config.json").read_text())
    routers = [weights[f"transformer_blocks.{layer}.router.weight"].float() for layer in range(config["num_layers"])]
    return routers, config["diffcr"]
