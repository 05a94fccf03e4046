"""Writes a DiT-XL/2 folder with random weights at the real sizes (C 1152, 28 layers; about 1.5 GB in f16).

`python -m training.goldens.real_size --out FOLDER`, then `foveate generate --class 1 --steps 1 --model FOLDER`: loading must not
hold the model twice.
"""

import argparse

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel


def build() -> DiTPipeline:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    transformer = DiTTransformer2DModel(out_channels=8)  # the class's defaults are DiT-XL/2 at 256 × 256
    blocks = dict(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
    )
    vae = AutoencoderKL(latent_channels=4, layers_per_block=2, sample_size=256, **blocks)  # as in Stable Diffusion
    torch.set_default_dtype(torch.float32)
    return DiTPipeline(transformer=transformer, vae=vae, scheduler=DDIMScheduler(clip_sample=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    build().save_pretrained(parser.parse_args().out)
