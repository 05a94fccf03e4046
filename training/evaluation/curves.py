"""Quality against work and against time: a line for each method, its ratios along it; the dense model's has numbers of steps."""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from . import matched
from .rows import STEPS

CACHE = "step cache"
ACROSS = [
    (f"FLOPs of a picture's steps, dense in {STEPS} = 100 %", lambda row, times: row["steps"] / STEPS * times["row"]["flops"] / times["dense"]["flops"]),
    (f"time of a picture's steps, dense in {STEPS} = 100 %", lambda row, times: matched.duration(row, times) / STEPS),
]
UP = [
    ("object, colour or place wrong, % (lower is better)", lambda row: 100 - 100 * row["accuracy"][3], lambda row: 100 * row["error"][3]),
    ("FD-scenes (lower is better)", lambda row: row["fd"], lambda row: row["fd_error"]),
]


def family(name: str) -> str:
    """The method, of which a row is one ratio."""
    if name.startswith("dense"):
        return "dense"
    return re.split(r" \d+ %", name)[0]


def short(name: str, of: str) -> str:
    """What is written beside a point of the method's line."""
    return name.removeprefix(of).strip(", ").replace(f"+ {CACHE}", "+ cache") or name


def draw(axes, rows: list[dict], times: dict[str, dict], across, up, against: str) -> None:
    points = {row["name"]: (across(row, times[row["name"]]), up[0](row), up[1](row)) for row in rows}
    # The dense model's numbers of steps, and a method's ratios: not what is cached, or of another seed.
    lined = {row["name"] for row in matched.dense_rows(rows, against)} | {name for name in points if re.fullmatch(r"[^%]+ \d+ %", name)}
    families = list(dict.fromkeys(family(name) for name in points))
    for number, of in enumerate(families):
        colour = pyplot.get_cmap("tab10")(number)
        names = [name for name in points if family(name) == of]
        ratios = sorted((name for name in names if name in lined), key=lambda name: points[name][0])
        axes.plot([points[name][0] for name in ratios], [points[name][1] for name in ratios], color=colour, lw=1)
        for name in names:
            x, y, error = points[name]
            cached = name.endswith(CACHE)
            # On a scale of ratios an error bar that nearly reaches 0 would be all there is to see.
            axes.errorbar(x, y, [[min(error, y / 2)], [error]], fmt="*" if cached else "o", ms=10 if cached else 5, color=colour, elinewidth=0.8)
            axes.annotate(short(name, of), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=colour)
            base = name.removesuffix(CACHE).removesuffix(" + ") or against
            if cached and base in points:  # from what it caches
                axes.plot([points[base][0], x], [points[base][1], y], color=colour, lw=0.8, ls=":")
        axes.plot([], [], "o-", color=colour, ms=5, label=of)
    axes.plot([], [], "*", color="grey", ms=10, label=f"with {CACHE}")
    axes.set_yscale("log")
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)


def write(path: Path, quality: dict, times: dict[str, dict]) -> None:
    rows = [row for row in quality["rows"] if row["name"] in times]
    figure, panels = pyplot.subplots(2, 2, figsize=(12, 9), dpi=110, layout="constrained", sharey="row")
    for up, (label, *measure) in enumerate(UP):
        for across, (below, work) in enumerate(ACROSS):
            timed = rows if across == 0 else [row for row in rows if times[row["name"]].get("quiet")]
            draw(panels[up][across], timed, times, work, measure, quality["against"])
            panels[1][across].set_xlabel(below)
        panels[up][0].set_ylabel(label)
    figure.legend(*panels[0][0].get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=9)
    figure.savefig(path)
    pyplot.close(figure)
