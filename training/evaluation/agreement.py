"""Are the engine's pictures, which the table judges, the ones that PyTorch draws?"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ..program import says
from .in_pytorch import compressed, load
from .rows import Row


@torch.inference_mode()
def compare(binary: Path, row: Row, prompts: list[str], first_seed: int, guidance: float) -> tuple[float, float]:
    """Largest and mean absolute difference of the pictures' values, 0…1; prompts one at a time, each from its own seed.

    What merging draws by chance, engine and PyTorch draw differently: there both take the first token of a window or cell.
    """
    if row.policy in ("sdtm", "tome"):
        row = replace(row, set=row.set | {"deterministic": True})
    pipeline = load(row)
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    differences = []
    with tempfile.TemporaryDirectory() as folder:
        for i, prompt in enumerate(prompts):
            with compressed(row, pipeline.transformer, row.steps):
                ours = pipeline(
                    prompt, height=side, width=side, num_inference_steps=row.steps, guidance_scale=guidance, output_type="pt",
                    generator=torch.Generator("cpu").manual_seed(first_seed + i), use_resolution_binning=False, clean_caption=False,
                ).images[0]  # fmt: skip
            tensors = Path(folder) / "tensors.safetensors"
            says(
                binary, "generate", prompt, "--model", row.model, "--compress", row.policy, "--seed", first_seed + i, "--steps", row.steps,
                "--guidance", guidance, "--adapter", "cpu", "--save-tensors", tensors, "-o", Path(folder) / "picture.png", *row.options(), of=row.name,
            )  # fmt: skip
            differences.append((load_file(tensors)["image"] - ours).abs().numpy())
    return float(np.max(differences)), float(np.mean(differences))
