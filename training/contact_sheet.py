"""Draws the fixed prompts into one picture:  python -m training.contact_sheet --model assets/scenes

With `--engine foveate --bin PATH` the pictures come from the Rust program instead of PyTorch; same prompts, same seeds.
"""

import argparse
import tempfile
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .program import BUILT, says
from .prompts import PROMPTS

COLUMNS, MARGIN, CAPTION = 6, 12, 40  # pictures in a row; pixels around each; pixels of text below
PAPER, INK = (250, 249, 246), (40, 40, 44)


def draw_with_torch(model: Path, prompts, seed: int, steps: int, guidance: float) -> list[Image.Image]:
    import torch
    from diffusers import PixArtSigmaPipeline

    pipeline = PixArtSigmaPipeline.from_pretrained(model, dtype=torch.float32)
    return draw_with_pipeline(pipeline, prompts, seed, steps, guidance)


def draw_with_pipeline(pipeline, prompts, seed: int, steps: int, guidance: float) -> list[Image.Image]:
    import torch

    pipeline.set_progress_bar_config(disable=True)
    size = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    return pipeline(
        list(prompts),
        height=size, width=size,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator("cpu").manual_seed(seed + i) for i in range(len(prompts))],
        use_resolution_binning=False,
        clean_caption=False,
    ).images  # fmt: skip


def draw_with_foveate(binary: Path, model: Path, prompts, seed: int, steps: int, guidance: float) -> list[Image.Image]:
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        for i, prompt in enumerate(prompts):
            out = Path(folder) / f"{i}.png"
            words = ["generate", prompt, "--model", model, "--seed", seed + i, "--steps", steps, "--guidance", guidance, "-o", out]
            says(binary, *words, of=repr(prompt))
            pictures.append(Image.open(out).convert("RGB"))
    return pictures


def compose(pictures: list[Image.Image], captions, scale: int) -> Image.Image:
    """The pictures enlarged, in rows, each above its caption."""
    picture = pictures[0].width * scale
    cell_width, cell_height = picture + MARGIN, picture + CAPTION + MARGIN
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * cell_width + MARGIN, rows * cell_height + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for i, (image, caption) in enumerate(zip(pictures, captions)):
        x, y = MARGIN + i % COLUMNS * cell_width, MARGIN + i // COLUMNS * cell_height
        sheet.paste(image.resize((picture, picture), Image.Resampling.LANCZOS), (x, y))
        draw.multiline_text((x, y + picture + 3), textwrap.fill(caption, picture // 6), fill=INK, font=font, spacing=2)
    return sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes"))
    parser.add_argument("--engine", choices=("torch", "foveate"), default="torch")
    parser.add_argument("--bin", type=Path, default=BUILT, help="the program, for --engine foveate")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture; the next ones count up")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/contact-sheet.png"))
    arguments = parser.parse_args()

    request = (arguments.model, PROMPTS, arguments.seed, arguments.steps, arguments.guidance)
    pictures = draw_with_torch(*request) if arguments.engine == "torch" else draw_with_foveate(arguments.bin, *request)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    compose(pictures, PROMPTS, arguments.scale).save(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
