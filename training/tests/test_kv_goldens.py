"""What a checkpoint with compressed keys and values is to a program that does not know them."""

from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file

FOLDERS = sorted((Path(__file__).parents[2] / "tests/goldens/kv").glob("*/model/transformer"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parts[-3])
def test_diffusers_loads_it_and_passes_over_what_it_does_not_know(folder):
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    loader = getattr(diffusers, "DiTTransformer2DModel" if "dit" in folder.parts[-3] else "PixArtTransformer2DModel")
    model, report = loader.from_pretrained(folder, output_loading_info=True)
    unknown = {name for name in stored if ".attn1.sr." in name or ".attn1.norm." in name}
    assert set(report["unexpected_keys"]) == unknown and not report["missing_keys"]
    assert bool(unknown) == folder.parts[-3].startswith("conv")
    for name, value in model.state_dict().items():
        assert torch.equal(value, stored[name].float()), name
