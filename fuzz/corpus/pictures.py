"""Makes the pictures in fuzz/corpus/picture from one of the contact sheet: python fuzz/corpus/pictures.py

They are small, and of all kinds that a decoder meets. Needs Pillow.
"""

import struct
import zlib
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
FOLDER = HERE / "picture"
ORIENTATION = 0x0112


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, interlaced: int, rows: bytes) -> bytes:
    """A PNG of kinds that Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def interlaced(picture: Image.Image) -> bytes:
    """Adam7: seven pictures within each other."""
    rows = b""
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in range(y, picture.height, dy):
            rows += b"\0" + b"".join(bytes(picture.getpixel((at, row))) for at in range(x, picture.width, dx))
    return png(*picture.size, 8, 2, 1, rows)


def deep(picture: Image.Image) -> bytes:
    """16 bits a channel, with alpha."""
    rows = b""
    for y in range(picture.height):
        pixels = (picture.getpixel((x, y)) for x in range(picture.width))
        rows += b"\0" + b"".join(struct.pack(">4H", *(257 * channel for channel in pixel)) for pixel in pixels)
    return png(*picture.size, 16, 6, 0, rows)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    sheet = Image.open(HERE.parents[1] / "docs/contact-sheet.png").convert("RGB")
    picture = sheet.crop((20, 30, 140, 110)).resize((24, 16), Image.Resampling.LANCZOS)
    grey = picture.convert("L")
    clear = picture.copy()
    clear.putalpha(grey)
    turned = Image.Exif()
    turned[ORIENTATION] = 6

    def save(name: str, of: Image.Image = picture, **options) -> None:
        of.save(FOLDER / name, **options)

    save("rgb.jpg", quality=60)
    save("grey.jpg", grey, quality=60)
    save("progressive.jpg", quality=60, progressive=True)
    save("cmyk.jpg", picture.convert("CMYK"), quality=60)
    save("turned.jpg", quality=60, exif=turned)
    save("restarts.jpg", quality=60, subsampling=0, restart_marker_blocks=2)
    save("lossy.webp", quality=50)
    save("lossless.webp", lossless=True)
    save("alpha.webp", clear, quality=50)
    save("alpha-lossless.webp", clear, lossless=True)
    save("turned.webp", quality=50, exif=turned)
    save("animated.webp", save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)], quality=50)
    save("grey.png", grey)
    save("grey-alpha.png", clear.convert("LA"))
    save("palette.png", picture.quantize(8), transparency=3)
    save("bits.png", picture.convert("1"))
    save("turned.png", exif=turned)
    (FOLDER / "deep.png").write_bytes(deep(clear))
    (FOLDER / "interlaced.png").write_bytes(interlaced(picture))
    for name in ["progressive.jpg", "lossy.webp", "lossless.webp", "deep.png"]:
        whole = (FOLDER / name).read_bytes()
        (FOLDER / f"{name}-cut").write_bytes(whole[: len(whole) * 2 // 3])


if __name__ == "__main__":
    main()
