"""First weights from another run or from a model folder, with layers added that change nothing yet."""

from pathlib import Path

import torch
from diffusers import PixArtTransformer2DModel
from transformers import T5EncoderModel

from .runtime import load_checkpoint

LAYER = "transformer.transformer_blocks."
BRANCH_ENDS = ("attn1.to_out.0.", "attn2.to_out.0.", "ff.net.2.")  # zero here, and a layer passes its input on


def deepen(state: dict[str, torch.Tensor], depth: int) -> dict[str, torch.Tensor]:
    """`state` with `depth` layers: a new one is a copy of the one before it, its three branches silenced, spread over the middle."""
    have = 1 + max(int(name.removeprefix(LAYER).split(".")[0]) for name in state if name.startswith(LAYER))
    if have > depth:
        raise ValueError(f"{have} layers do not fit into {depth}")
    extra = depth - have
    copied = {round((i + 1) * have / (extra + 1)) - 1 for i in range(extra)}  # old layers a new one follows
    if len(copied) < extra:
        raise ValueError(f"{have} layers cannot become {depth} in one go")
    order = [(i, False) for i in range(have)] + [(i, True) for i in copied]  # (old layer, silent copy)
    grown = {name: value for name, value in state.items() if not name.startswith(LAYER)}
    for new, (old, silent) in enumerate(sorted(order)):
        prefix = f"{LAYER}{old}."
        for name in [name for name in state if name.startswith(prefix)]:
            part = name.removeprefix(prefix)
            value = state[name].clone()
            grown[f"{LAYER}{new}.{part}"] = value.zero_() if silent and part.startswith(BRANCH_ENDS) else value
    return grown


def weights_of(source: Path, depth: int) -> dict[str, torch.Tensor]:
    """f32, named `transformer.…`, `text_encoder.…` and, from a run, `head.…`: a run's averaged weights, or a folder's."""
    if state := load_checkpoint(source / "checkpoint.pt"):
        weights = state["average"]
    else:
        parts = {
            "transformer": PixArtTransformer2DModel.from_pretrained(source / "transformer", torch_dtype=torch.float32),
            "text_encoder": T5EncoderModel.from_pretrained(source / "text_encoder", dtype=torch.float32),
        }
        weights = {f"{part}.{name}": value for part, network in parts.items() for name, value in network.named_parameters()}
    return deepen({name: value.detach().float() for name, value in weights.items()}, depth)
