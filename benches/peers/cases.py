"""The cases: folders with a model in diffusers' layout, a step's inputs, and what diffusers itself predicts from them.

    case.json            {"model": FOLDER, "batch": N, "text": N, "compression": {…}}, the last as requests have it
    inputs.safetensors   latents [1, 4, H, W], timestep [1], positions [1, N, C]; classes [B], or text [B, S, D]
    model.onnx           the transformer with its inputs but latents and timestep as constants
    expected.safetensors prediction [B, Cout, H, W]

Inputs are those that foveate itself makes up for a step that it times: torch's random numbers of seeds 0 and 1.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from .transformer import Transformer

BATCH, TIMESTEP = 2, 500.0
#: Tokens of a PixArt-Σ prompt.
TEXT = 300


@dataclass
class Case:
    """A transformer at a size, and the policies to time beside dense."""

    name: str
    words: str
    #: Of a random DiT; none: the bundled model.
    shape: dict | None
    #: By name, as requests have them.
    policies: dict[str, dict] = field(default_factory=dict)


DENSE = {"dense": {"policy": "dense"}}
DIFFCR = {"diffcr": {"policy": "diffcr"}}
#: Of few tokens sdtm merges nothing unless their number may be any.
OTHERS = {
    **{name: {"policy": name} for name in ("mod", "tome", "kv")},
    "sdtm": {"policy": "sdtm", "set": {"multiple": 1}},
    "step-cache": {"policy": "dense", "cache": "2"},
}
CASES = [
    Case("dit-s-2", "DiT-S/2, 256 tokens", {"width": 384, "layers": 12, "heads": 6, "side": 16}, DIFFCR),
    Case("long", "width 384, 4 layers, 1024 tokens", {"width": 384, "layers": 4, "heads": 6, "side": 32}, DIFFCR),
    Case("wide", "width 1152, 2 layers, 256 tokens", {"width": 1152, "layers": 2, "heads": 16, "side": 16}, DIFFCR),
    Case("bundled", "the bundled model", None, DIFFCR | OTHERS),
]


def written(work: Path, bundled: Path) -> dict[str, list[tuple[str, Path]]]:
    """Of each case the folder of each policy by name, dense first. What an earlier run wrote is taken as it is."""
    transformer = bundled / "transformer"
    sources = [Path(__file__), Path(__file__).with_name("transformer.py"), *sorted(transformer.iterdir())]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = work / f"cases-{digest}"
    if not folder.exists():
        for old in work.glob("cases-*"):
            shutil.rmtree(old)
        begun = work / "cases-begun"
        for case in CASES:
            write(case, begun / case.name, folder / case.name, bundled)
        begun.rename(folder)
    return {case.name: [(name, folder / case.name / name) for name in DENSE | case.policies] for case in CASES}


def write(case: Case, folder: Path, final: Path, bundled: Path) -> None:
    """Writes a case, whose folder will be `final`."""
    if case.shape:
        random_model(folder / "model", **case.shape)
    at = folder / "model" if case.shape else bundled
    kind = DiTTransformer2DModel if case.shape else PixArtTransformer2DModel
    logging.set_verbosity_error()  # it warns of the routers, which it has no use for
    model = kind.from_pretrained(at / "transformer", torch_dtype=torch.float32).eval()
    path = final / "model" if case.shape else bundled
    for name, policy in (DENSE | case.policies).items():
        (folder / name).mkdir(parents=True)
        words = {"model": str(path), "batch": BATCH, "text": TEXT, "compression": policy}
        (folder / name / "case.json").write_text(json.dumps(words))
    dense, inputs = folder / "dense", given(model)
    save_file(inputs, dense / "inputs.safetensors")
    with torch.inference_mode():
        save_file({"prediction": predicted(model, inputs)}, dense / "expected.safetensors")
        export(Transformer(at, inputs), inputs, dense / "model.onnx")


def random_model(folder: Path, width: int, layers: int, heads: int, side: int) -> None:
    """A DiT with random weights, and with routers that save 30 %."""
    torch.manual_seed(0)
    config = dict(num_attention_heads=heads, attention_head_dim=width // heads, num_layers=layers, in_channels=4, out_channels=8)
    model = DiTTransformer2DModel(**config, sample_size=2 * side, patch_size=2, num_embeds_ada_norm=10)
    model.save_pretrained(folder / "transformer")
    weights, told = folder / "transformer/diffusion_pytorch_model.safetensors", folder / "transformer/config.json"
    routers = {f"transformer_blocks.{i}.router.weight": torch.randn(1, width) * width**-0.5 for i in range(layers)}
    save_file({**load_file(weights), **routers}, weights, metadata={"format": "pt"})
    diffcr = {"bins": [0.7, 1.0], "kept_ratio": [[0.7] * layers], "train_timesteps": 1000}
    told.write_text(json.dumps({**json.loads(told.read_text()), "diffcr": diffcr}))
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DiTPipeline"}))


def given(model) -> dict[str, torch.Tensor]:
    """The inputs of a step."""
    side = model.config.sample_size
    inputs = {
        "latents": torch.randn(1, model.config.in_channels, side, side, generator=torch.Generator().manual_seed(0)),
        "timestep": torch.tensor([TIMESTEP]),
        "positions": model.pos_embed.pos_embed.clone(),
    }
    if isinstance(model, DiTTransformer2DModel):
        return inputs | {"classes": torch.arange(BATCH)}
    shape = (BATCH, TEXT, model.config.caption_channels)
    return inputs | {"text": torch.randn(shape, generator=torch.Generator().manual_seed(1))}


def predicted(model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """By diffusers' own model."""
    latents, timestep = inputs["latents"].repeat(BATCH, 1, 1, 1), inputs["timestep"].repeat(BATCH)
    if "classes" in inputs:
        return model(latents, timestep=timestep, class_labels=inputs["classes"]).sample
    mask, conditions = torch.ones(BATCH, TEXT), {"resolution": None, "aspect_ratio": None}
    return model(
        latents,
        encoder_hidden_states=inputs["text"],
        encoder_attention_mask=mask,
        timestep=timestep,
        added_cond_kwargs=conditions,
    ).sample


def export(model: Transformer, inputs: dict[str, torch.Tensor], out: Path) -> None:
    names = ["latents", "timestep"]
    given = tuple(inputs[name] for name in names)
    torch.onnx.export(
        model.eval(), given, out, input_names=names, output_names=["prediction"], dynamo=True, verbose=False
    )
