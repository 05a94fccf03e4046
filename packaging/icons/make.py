"""Makes the icons of the programs from web/page/icon.svg. They are committed; run this when the drawing changes:

    pip install resvg-py==0.5.0 pillow==13.0.0
    python packaging/icons/make.py
"""

import io
from pathlib import Path

import resvg_py
from PIL import Image

HERE = Path(__file__).parent
DRAWING = HERE.parent.parent / "web/page/icon.svg"


def drawn(side: int) -> Image.Image:
    """The drawing with `side` pixels a side."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=DRAWING.read_text(), width=side, height=side))
    return Image.open(io.BytesIO(png)).convert("RGBA")


def with_margin(side: int) -> Image.Image:
    """The drawing as macOS expects icons: 824 of 1024 parts wide, in the middle."""
    inner = round(side * 824 / 1024 / 2) * 2
    image = Image.new("RGBA", (side, side))
    image.paste(drawn(inner), ((side - inner) // 2, (side - inner) // 2))
    return image


# The window's icon, and that of the launcher on Linux.
drawn(256).save(HERE / "foveate.png", optimize=True)

# Every size is drawn anew: a small one made smaller would be blurred.
sides = [16, 24, 32, 48, 64, 128, 256]
drawn(256).save(HERE / "foveate.ico", sizes=[(n, n) for n in sides], append_images=[drawn(n) for n in sides[:-1]])

sides = [32, 64, 128, 256, 512, 1024]
with_margin(1024).save(HERE / "foveate.icns", append_images=[with_margin(n) for n in sides[:-1]])
