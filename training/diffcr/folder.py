"""Model folders with routers: read, run, write. Still diffusers folders: its loaders ignore what they do not know."""

import copy
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open
from torch import nn

from .blocks import route, use_schedule
from .ratios import mean, rescale, snap


@dataclass
class Settings:
    """`diffcr` in transformer/config.json."""

    scale: str
    bins: list[float]
    kept_ratio: list[list[float]]  # [regions, L], noisiest region first
    train_timesteps: int


def read_settings(folder: Path) -> Settings | None:
    settings = json.loads((Path(folder) / "transformer" / "config.json").read_text()).get("diffcr")
    return settings and Settings(**settings)


def load_routers(transformer: nn.Module, folder: Path) -> None:
    """Into a transformer that `route` prepared, from one file or several."""
    routers = {}
    for file in sorted((Path(folder) / "transformer").glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            routers |= {name: tensors.get_tensor(name) for name in tensors.keys() if name.endswith(".router.weight")}
    for i, block in enumerate(transformer.transformer_blocks):
        block.router.load_state_dict({"weight": routers[f"transformer_blocks.{i}.router.weight"]})


def load_routed(folder, policy: str = "diffcr", ratio: float | None = None, dtype=torch.float32) -> DiffusionPipeline:
    """A diffusers pipeline that computes kept tokens only.

    - "diffcr": the folder's kept ratios; with `ratio` (the share of tokens saved) rescaled to it, snapped to bins again.
    - "mod": every layer at every timestep keeps exactly 1 − ratio, by default as much as the folder's ratios on average.
      `ratio=0` keeps all tokens and still multiplies by the scores.
    - "dense": diffusers' own blocks; routers are ignored, as where there are none.
    """
    if policy not in ("diffcr", "mod", "dense"):
        raise ValueError(f"policy is {policy!r}, expected 'diffcr', 'mod' or 'dense'")
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=dtype)
    if policy == "dense":
        return pipeline
    settings = read_settings(folder)
    if settings is None:
        raise ValueError(f"{folder} has no routers; only policy 'dense' can run it")
    matrix = settings.kept_ratio
    if policy == "mod":
        kept = mean(matrix) if ratio is None else 1 - ratio
        matrix = [[kept] * len(matrix[0])]
    elif ratio is None:
        matrix = [[snap(kept, settings.bins) for kept in row] for row in matrix]
    else:
        matrix = rescale(matrix, settings.bins, 1 - ratio)
    route(pipeline.transformer, settings.scale, settings.bins)
    load_routers(pipeline.transformer, folder)
    use_schedule(pipeline.transformer, matrix, settings.train_timesteps)
    return pipeline


def save_folder(transformer: nn.Module, settings: Settings | None, source: Path, out: Path, dtype=torch.float16) -> None:
    """`source` with another transformer; every other file is copied as it is."""
    source, out = Path(source), Path(out)
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(source, out, ignore=lambda folder, _: ["transformer"] if Path(folder) == source else [])
    copy.deepcopy(transformer).to(dtype).save_pretrained(out / "transformer", safe_serialization=True)
    file = out / "transformer" / "config.json"
    config = json.loads(file.read_text())
    config.pop("_name_or_path", None)  # where it was loaded from: a path of this machine
    config.pop("diffcr", None)
    if settings is not None:
        config["diffcr"] = asdict(settings)
    file.write_text(json.dumps(config, indent=2) + "\n")
