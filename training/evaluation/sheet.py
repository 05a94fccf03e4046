"""The first pictures of every row under each other: one column a prompt, one noise, nothing picked."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..contact_sheet import INK, MARGIN, PAPER

SCALE, NAMES, CAPTION = 2, 150, 54  # enlargement; width of the column of names; height of the prompts


def compose(rows: list[tuple[str, np.ndarray]], prompts: list[str]) -> Image.Image:
    """rows: a name and its pictures [len(prompts), S, S, 3]."""
    side = SCALE * rows[0][1].shape[1]
    sheet = Image.new("RGB", (NAMES + len(prompts) * (side + MARGIN), CAPTION + len(rows) * (side + MARGIN)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column, prompt in enumerate(prompts):
        draw.multiline_text((NAMES + column * (side + MARGIN), 3), textwrap.fill(prompt, side // 6), fill=INK, font=font, spacing=1)
    for line, (name, pictures) in enumerate(rows):
        y = CAPTION + line * (side + MARGIN)
        draw.multiline_text((MARGIN, y + side // 2 - 14), textwrap.fill(name, 22), fill=INK, font=font, spacing=2)
        for column, picture in enumerate(pictures):
            enlarged = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(enlarged, (NAMES + column * (side + MARGIN), y))
    return sheet


def write(path: Path, rows: list[tuple[str, Path]], prompts: list[str]) -> None:
    """rows: a name and the folder its pictures are kept in."""
    compose([(name, np.load(folder / "00000.npy")[: len(prompts)]) for name, folder in rows], prompts).save(path)
