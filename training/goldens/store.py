"""Writing a golden: safetensors for numbers, JSON for everything else."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file


def fresh(folder: Path) -> Path:
    """An empty folder, so that nothing of an earlier run survives in a golden."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def tensors(path: Path, values: dict) -> None:
    """Floats become f32, and integers i64 unless they are i32: the reader needs to know these dtypes only."""

    def plain(value) -> torch.Tensor:
        value = torch.as_tensor(value).detach()
        kind = torch.float32 if value.is_floating_point() else torch.int32 if value.dtype == torch.int32 else torch.int64
        return value.to(kind).contiguous().clone()

    save_file({name: plain(value) for name, value in values.items()}, str(path))


def document(path: Path, value) -> None:
    """Indented JSON; a list of cases takes one line per case."""
    # allow_nan=False: strict JSON, because most parsers outside Python know no Infinity.
    options = {"ensure_ascii": False, "allow_nan": False}
    if isinstance(value, list):
        text = "[\n" + ",\n".join(" " + json.dumps(item, **options) for item in value) + "\n]"
    else:
        text = json.dumps(value, indent=1, **options)
    path.write_text(text + "\n", encoding="utf-8")
