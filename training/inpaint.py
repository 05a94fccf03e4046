"""Widens a model to one that fills in:  python -m training.inpaint --model assets/scenes-dense --out runs/inpaint/start

The new folder's transformer sees, behind the noisy latents, where to draw anew and the latents of the rest, as diffusers' inpainting
models do: 2C + 1 channels in. The new channels weigh nothing, so it draws what it drew; what they show is learnt by

    python -m training.encode --inpaint …
    python -m training.train_diffcr --model runs/inpaint/start --mode dense --out runs/inpaint/dense
    python -m training.train_diffcr --model runs/inpaint/start --mode lt --regions 10 --out runs/inpaint/lt-0.3
"""

import argparse
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, PixArtTransformer2DModel
from torch import nn

from .diffcr import save_folder


def widen(transformer: nn.Module) -> nn.Module:
    """The same transformer with mask channels."""
    if not isinstance(transformer, PixArtTransformer2DModel):
        raise SystemExit(f"mask channels are for PixArt transformers, not for {type(transformer).__name__}")
    channels = transformer.config.in_channels
    config = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    wider = PixArtTransformer2DModel(**config | {"in_channels": 2 * channels + 1, "out_channels": transformer.out_channels})
    weights = transformer.state_dict()
    patches = weights["pos_embed.proj.weight"]  # [width, C, patch, patch]
    more = patches.new_zeros(len(patches), channels + 1, *patches.shape[2:])
    wider.load_state_dict(weights | {"pos_embed.proj.weight": torch.cat([patches, more], 1)})
    return wider.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes-dense"), help="a dense model's folder")
    parser.add_argument("--out", type=Path, default=Path("runs/inpaint/start"))
    arguments = parser.parse_args()
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    save_folder(widen(pipeline.transformer), None, arguments.model, arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
