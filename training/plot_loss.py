"""Draws the loss of a run over its steps:  python -m training.plot_loss --run runs/dit --out docs/training-loss.png"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/dit"))
    parser.add_argument("--out", type=Path, default=Path("docs/training-loss.png"))
    arguments = parser.parse_args()

    lines = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(7, 3), dpi=110, layout="constrained")
    axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="#2a5bd7")
    axes.set(xlabel="step", ylabel="velocity loss", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    last = lines[-1]
    print(f"{arguments.out}: {last['step']} steps in {last['minutes']} minutes, loss {lines[0]['loss']} → {last['loss']}")


if __name__ == "__main__":
    main()
