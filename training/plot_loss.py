"""Draws loss and accuracy of a run, or of several that follow each other:

    python -m training.plot_loss runs/dit-64 runs/dit --out docs/training-loss.png

The loss is training's, as it was logged (with part of the tokens skipping layers, it is higher than the model's own); the accuracy is
`training.watch`'s, where it was asked for.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = {"all": "#222222", "object": "#c2452d", "colour": "#2d8a4e", "place": "#7a52b3"}


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("runs/dit")])
    parser.add_argument("--out", type=Path, default=Path("docs/training-loss.png"))
    arguments = parser.parse_args()

    watched = any((run / "watch.jsonl").exists() for run in arguments.runs)
    figure, axes = pyplot.subplots(1 + watched, figsize=(7, 3 + 2 * watched), dpi=110, layout="constrained", sharex=True, squeeze=False)
    axes, hours = axes[:, 0], 0.0
    for i, run in enumerate(arguments.runs):
        log, watch = lines_of(run / "log.jsonl"), lines_of(run / "watch.jsonl")
        at = lambda line: hours + line["minutes"] / 60
        axes[0].plot([at(line) for line in log], [line["loss"] for line in log], color=f"C{i}", label=run.name)
        judged = [line for line in watch if "all" in line]
        for name, colour in COLOURS.items():
            if watched:
                axes[1].plot([at(line) for line in judged], [line[name] for line in judged], "o-", ms=3, color=colour, label=None if i else name)
        last = log[-1]
        print(f"{run}: {last['step']} steps in {last['minutes']} minutes, loss {log[0]['loss']} → {last['loss']}")
        hours += last["minutes"] / 60
    axes[0].set(ylabel="velocity loss", yscale="log")
    axes[-1].set(xlabel="hours")
    if watched:
        axes[1].set(ylabel="right, of held-out prompts", ylim=(0, 1))
    for axis in axes:
        axis.grid(alpha=0.3, which="both")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
