"""`python -m training.goldens --out tests/goldens [--only NAME…]` writes the golden files again."""

import argparse
import warnings
from pathlib import Path

import diffusers
import torch
import transformers

from . import registry, store


def quiet() -> None:
    warnings.simplefilter("ignore")
    for library in [diffusers, transformers]:
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.goldens", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=sorted(registry.GOLDENS), default=list(registry.GOLDENS))
    arguments = parser.parse_args()
    quiet()
    # One thread: a sum's order depends on the number of threads, and a golden should not.
    torch.set_num_threads(1)
    for name in arguments.only:
        torch.manual_seed(0)
        registry.GOLDENS[name](store.fresh(arguments.out / name))
        size = sum(file.stat().st_size for file in (arguments.out / name).rglob("*") if file.is_file())
        print(f"{name:24} {size / 1024:8.0f} KiB")


if __name__ == "__main__":
    main()
