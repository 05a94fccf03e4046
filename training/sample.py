"""Looks at a run in progress:  python -m training.sample --run runs/dit --out runs/samples.png

The contact sheet of the last checkpoint, without an export; prompts given as arguments replace the fixed ones.
"""

import argparse
from pathlib import Path

from .contact_sheet import compose, draw_with_pipeline
from .export import add_source_options, load_pipeline
from .prompts import PROMPTS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", nargs="*", default=PROMPTS)
    add_source_options(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("runs/samples.png"))
    arguments = parser.parse_args()

    pipeline = load_pipeline(arguments.run, arguments.vae, arguments.tokenizer, arguments.weights)
    pictures = draw_with_pipeline(pipeline, arguments.prompts, arguments.seed, arguments.steps, arguments.guidance)
    compose(pictures, arguments.prompts, scale=max(1, 256 // pictures[0].width)).save(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
