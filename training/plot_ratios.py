"""Draws the kept ratios of a fine-tuning, learning and learnt:  python -m training.plot_ratios --run runs/diffcr/lt-0.3

Left, per timestep region: each layer's ratio over the steps and their mean. Right: the matrix that the model folder ships.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/diffcr/lt-0.3"))
    parser.add_argument("--out", type=Path, help="default: docs/kept-ratios-NAME.png")
    arguments = parser.parse_args()
    out = arguments.out or Path("docs") / f"kept-ratios-{arguments.run.name}.png"

    lines = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "matrix" in line]
    if not lines:
        raise SystemExit(f"{arguments.run} was not routed: its log has no kept ratios")
    steps, final = [line["step"] for line in lines], lines[-1]["matrix"]
    regions, layers = len(final), len(final[0])
    names = {1: ["all timesteps"]}.get(regions, [f"region {r}" for r in range(regions)])
    if regions > 1:
        names[0] += ", noisiest"
        names[-1] += ", cleanest"

    figure = pyplot.figure(figsize=(12, 1.2 + 1.5 * regions), dpi=110, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    colours = pyplot.get_cmap("viridis")
    panels = left.subplots(regions, 1, sharex=True, squeeze=False)[:, 0]
    for row, axes in enumerate(panels):
        for layer in range(layers):
            axes.plot(steps, [line["matrix"][row][layer] for line in lines], color=colours(layer / max(1, layers - 1)), lw=1.2)
        axes.plot(steps, [sum(line["matrix"][row]) / layers for line in lines], color="black", lw=1.5, ls="--")
        axes.set(ylim=(0.25, 1.05), title=names[row])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("step (dashed: mean; dark to light: first to last layer)")
    left.supylabel("kept ratio")

    axes = right.subplots()
    axes.imshow(final, vmin=0.3, vmax=1.0, cmap="viridis", aspect="auto")
    for row in range(regions):
        for layer in range(layers):
            axes.text(layer, row, f"{final[row][layer]:.1f}", ha="center", va="center", color="white" if final[row][layer] < 0.75 else "black")
    average = sum(map(sum, final)) / (regions * layers)
    axes.set(xticks=range(layers), yticks=range(regions), yticklabels=names, xlabel="layer", title=f"kept ratio, mean {average:.3f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f"{out}: {steps[-1]} steps, mean kept ratio {average:.4f}")
    for name, row in zip(names, final):
        print(f"  {name:<20} " + " ".join(f"{ratio:.1f}" for ratio in row))


if __name__ == "__main__":
    main()
