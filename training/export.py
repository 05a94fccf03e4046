"""Writes the bundle, a diffusers PixArtSigmaPipeline folder in f16:  python -m training.export --out assets/scenes-dense"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PixArtSigmaPipeline
from transformers import T5Tokenizer

from . import models
from .presets import PRESETS

LARGEST_FILE, LARGEST_BUNDLE = 16 << 20, 16 << 20  # bytes


def load_pipeline(run: Path, vae: Path, tokenizer: Path, weights: str = "average") -> PixArtSigmaPipeline:
    """The model as trained, in f32: the moving average of its weights, or the last ones (`model`)."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    preset = PRESETS[state["preset"]]
    networks = {"transformer": models.transformer(preset, state.get("latent")), "text_encoder": models.text_encoder(preset)}
    for name, network in networks.items():
        tensors = {key.removeprefix(name + "."): value for key, value in state[weights].items() if key.startswith(name + ".")}
        missing, unexpected = network.load_state_dict(tensors, strict=False)
        # The average holds parameters only; what may be missing is recomputed buffers and tied copies.
        learned = dict(network.named_parameters())
        if unexpected or any(key in learned for key in missing):
            raise ValueError(f"{run}/checkpoint.pt does not fit preset {state['preset']}: missing {missing}, unexpected {unexpected}")
        network.eval()
    return PixArtSigmaPipeline(
        tokenizer=T5Tokenizer.from_pretrained(tokenizer),
        vae=AutoencoderKL.from_pretrained(vae).eval(),
        scheduler=models.scheduler(),
        **networks,
    )


def export(pipeline: PixArtSigmaPipeline, tokenizer: Path, out: Path) -> None:
    if out.exists():
        shutil.rmtree(out)
    pipeline.to(torch.float16).save_pretrained(out, safe_serialization=True)
    shutil.copy(tokenizer / "spiece.model", out / "tokenizer" / "spiece.model")  # transformers writes tokenizer.json alone
    for config in out.glob("*/config.json"):  # diffusers notes where a network was loaded from: a path of this machine
        settings = json.loads(config.read_text())
        settings.pop("_name_or_path", None)
        config.write_text(json.dumps(settings, indent=2) + "\n")


def check_sizes(folder: Path) -> int:
    """Total bytes; raises where the bundle outgrew what the repository allows."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for path, size in sizes.items():
        if size > LARGEST_FILE:
            raise ValueError(f"{path} has {size} bytes, more than {LARGEST_FILE}")
    if sum(sizes.values()) > LARGEST_BUNDLE:
        raise ValueError(f"{folder} has {sum(sizes.values())} bytes, more than {LARGEST_BUNDLE}")
    return sum(sizes.values())


def add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, default=Path("runs/dit"))
    parser.add_argument("--vae", type=Path, default=Path("runs/vae/refined/vae"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--weights", choices=("average", "model"), default="average", help="averaged over steps, or the last step's")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_source_options(parser)
    parser.add_argument("--out", type=Path, default=Path("assets/scenes-dense"))
    arguments = parser.parse_args()

    pipeline = load_pipeline(arguments.run, arguments.vae, arguments.tokenizer, arguments.weights)
    export(pipeline, arguments.tokenizer, arguments.out)
    print(f"{arguments.out}: {check_sizes(arguments.out) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
