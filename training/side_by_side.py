"""One picture twice, with every token and with routers:  python -m training.side_by_side --prompt "a red house" --seed 3

Runs the Rust program dense and routed, and once more with `--maps`, whose reading back would spoil the times. The time and the
FLOPs of a step below each picture are those of its own run; beside them, where the routed run computed.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .contact_sheet import INK, PAPER
from .program import BUILT, says

FAINT = (110, 110, 116)
SIDE, MARGIN, GAP = 384, 24, 20  # pixels of a picture's longer side, around all, between pictures
TITLE, LINE = 17, 15  # sizes of the text


@dataclass
class Drawn:
    """One run of the program: its picture and what it told of itself."""

    picture: Image.Image
    told: dict

    @property
    def seconds(self) -> float:
        """Of one step."""
        return self.told["seconds"]["steps"] / self.told["steps"]

    @property
    def flops(self) -> float:
        """Of one step."""
        return self.told["flops_per_step"]


def draw(request: list[str], out: Path, *more) -> Drawn:
    told = says(*request, "-o", out, *more, of=" ".join(map(str, more)) or "as trained")
    return Drawn(Image.open(out).convert("RGB"), told)


def fastest(runs: list[Drawn]) -> Drawn:
    """Other work on the machine can only add to a time."""
    return min(runs, key=lambda run: run.seconds)


def enlarge(picture: Image.Image, how: Image.Resampling) -> Image.Image:
    scale = SIDE / max(picture.size)
    return picture.resize([round(side * scale) for side in picture.size], how)


def figures(run: Drawn, beside: Drawn) -> str:
    """Of a step, in a unit that suits the run beside it."""
    size, unit = next((size, name) for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (0, "")) if beside.flops >= size)
    return f"{1000 * run.seconds:.0f} ms and {run.flops / max(size, 1):.2f} {unit}FLOP a step"


def ends(scale: str) -> str:
    """`84 to 139 of 160 (layer, step) pairs`, with the colours of its ends."""
    least, rest = scale.split(" to ")
    most, of = rest.split(" of ")
    return f"violet: {least}, yellow: {most}, of {of}"


def less(dense: float, routed: float) -> str:
    """How much of the dense run's a routed run spends."""
    return f"{100 * routed / dense:.0f} %"


def compose(prompt: str, panels: list[tuple[Image.Image, str, str]]) -> Image.Image:
    """Pictures in a row, each above its name and its figures; the prompt above all."""
    width, height = panels[0][0].size
    top = MARGIN + TITLE + 16
    sheet = Image.new("RGB", (2 * MARGIN + len(panels) * width + (len(panels) - 1) * GAP, top + height + 2 * LINE + 24 + MARGIN), PAPER)
    brush, title, line = ImageDraw.Draw(sheet), ImageFont.load_default(size=TITLE), ImageFont.load_default(size=LINE)
    brush.text((MARGIN, MARGIN - 4), prompt, fill=INK, font=title)
    for index, (picture, name, what) in enumerate(panels):
        x = MARGIN + index * (width + GAP)
        sheet.paste(picture, (x, top))
        brush.text((x, top + height + 8), name, fill=INK, font=line)
        brush.text((x, top + height + 8 + LINE + 5), what, fill=FAINT, font=line)
    return sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/scenes"), help="a folder whose checkpoint has routers")
    parser.add_argument("--prompt", default="a red house by a lake by day")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ratio", type=float, help="share of the tokens to save; default: as the checkpoint was trained")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each kind, of which the fastest counts")
    parser.add_argument("--bin", type=Path, default=BUILT, help="the program")
    parser.add_argument("--out", type=Path, default=Path("docs/dense-diffcr.png"))
    arguments = parser.parse_args()

    # "=" and "--" keep a seed or a prompt that begins with a dash from being read as an option.
    request = [arguments.bin, "generate", f"--model={arguments.model}", f"--seed={arguments.seed}", f"--steps={arguments.steps}"]
    routed = ["--compress=diffcr"] + ([] if arguments.ratio is None else [f"--ratio={arguments.ratio}"])
    words = ["--", arguments.prompt]
    with tempfile.TemporaryDirectory() as folder:
        out, maps = Path(folder) / "it.png", Path(folder) / "maps"
        # By turns, so that whatever else the machine does falls on both.
        pairs = [
            (draw(request, out, "--compress=dense", *words), draw(request, out, *routed, *words)) for _ in range(arguments.repeat)
        ]
        dense, diffcr = fastest([pair[0] for pair in pairs]), fastest([pair[1] for pair in pairs])
        draw(request, out, *routed, f"--maps={maps}", *words)
        touched = Image.open(maps / "touched.png")
        scale = ends(touched.text["map-scale"])

    smooth, crisp = Image.Resampling.LANCZOS, Image.Resampling.NEAREST
    share = f"time {less(dense.seconds, diffcr.seconds)}, FLOPs {less(dense.flops, diffcr.flops)}"
    panels = [
        (enlarge(dense.picture, smooth), "dense: every token, every layer", figures(dense, dense)),
        (enlarge(diffcr.picture, smooth), f"DiffCR: {share}", figures(diffcr, dense)),
        (enlarge(touched.convert("RGB"), crisp), "how often each token was kept", scale),
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet = compose(f"{arguments.prompt}  (seed {arguments.seed}, {arguments.steps} steps)", panels)
    sheet.save(arguments.out)
    print(arguments.out, f"on {dense.told['adapter']}: {share}; dense {figures(dense, dense)}, DiffCR {figures(diffcr, dense)}")


if __name__ == "__main__":
    main()
