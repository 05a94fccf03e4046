"""DiT-S/2 with random weights, for `compare.js`: python3 benches/peers/web/dit.py FOLDER (needs torch, diffusers, onnx).

    FOLDER/model             a pipeline in diffusers' layout
    FOLDER/transformer.onnx  its transformer: sample [2, 4, 32, 32], timestep [2], classes [2] to prediction [2, 8, 32, 32]
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel

CLASSES = 1000


class Forward(torch.nn.Module):
    """The transformer as a function of tensors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, classes):
        return self.model(sample, timestep=timestep, class_labels=classes).sample


def main(folder: Path) -> None:
    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=6,
        attention_head_dim=64,
        in_channels=4,
        out_channels=8,
        num_layers=12,
        sample_size=32,
        patch_size=2,
        num_embeds_ada_norm=CLASSES,
    ).eval()
    # It decodes the picture after the last step, which is not timed: as small as it may be.
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, sample_size=32)
    DiTPipeline(transformer=transformer, vae=vae, scheduler=DDIMScheduler()).save_pretrained(folder / "model")
    inputs = torch.randn(2, 4, 32, 32), torch.tensor([500, 500]), torch.tensor([7, CLASSES])
    with torch.inference_mode():
        torch.onnx.export(
            Forward(transformer),
            inputs,
            folder / "transformer.onnx",
            input_names=["sample", "timestep", "classes"],
            output_names=["prediction"],
            external_data=False,
            dynamo=True,
            verbose=False,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
