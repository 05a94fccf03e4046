"""How far a run has come:  python -m training.watch --run runs/dit

The loss over scenes it has not seen, every token in every layer, and what the classifier says of its pictures of held-out prompts
(left out while there is no classifier). One line is added to `watch.jsonl` in the run's folder. The classifier looks at pictures
reduced to 64 pixels, so that runs at 64 and at 128 compare, and is made by

    python -m training.train_classifier --size 64 --vae runs/vae/vae --out runs/classifier/64

and the scenes that were not seen by

    python -m training.scenes.dataset --count 1000 --seed 1000003 --out runs/unseen
    python -m training.encode --data runs/unseen
    python -m training.encode --data runs/unseen --size 64 --out runs/unseen/64
"""

from .runtime import load_checkpoint, prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from .encode import reduced
from .evaluation import classifier
from .evaluation.classifier import HEADS, look
from .evaluation.prompts import held_out
from .evaluation.quality import to_torch
from .export import add_source_options, load_pipeline
from .measure_diffcr import Judge
from .presets import TEXT_LENGTH

BATCH, SIZE = 16, 64
CLASSIFIER = Path("runs/classifier/64/classifier.safetensors")


def chosen_classifier(named: Path | None) -> Path | None:
    """The classifier that was named, which must be there; else the usual one, where there is one."""
    if named and not named.is_file():
        raise SystemExit(f"--classifier {named}: there is no such file")
    return named or (CLASSIFIER if CLASSIFIER.is_file() else None)


@torch.inference_mode()
def accuracy(pipeline, judge, prompts: list[str], wanted: dict[str, list[int]], steps: int, guidance: float) -> dict[str, float]:
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    pictures = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        images = pipeline(
            part, height=side, width=side, num_inference_steps=steps, guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(start + i) for i in range(len(part))],
            max_sequence_length=TEXT_LENGTH, use_resolution_binning=False, clean_caption=False, output_type="np",
        ).images  # fmt: skip
        pictures.append((images * 255).round().astype(np.uint8))
    seen = look(judge, to_torch(reduced(np.concatenate(pictures), SIZE)))[1]
    right = {name: seen[name] == torch.tensor(wanted[name]) for name in HEADS}
    right["all"] = torch.stack(list(right.values())).all(0)
    return {name: round(value.float().mean().item(), 4) for name, value in right.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_options(parser)
    parser.add_argument("--data", type=Path, default=Path("runs/unseen"))
    parser.add_argument("--classifier", type=Path, help=f"default: {CLASSIFIER}, where that is there")
    parser.add_argument("--batches", type=int, default=10, help="of 48 scenes, for the loss")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    judge = chosen_classifier(arguments.classifier)

    state = load_checkpoint(arguments.run / "checkpoint.pt")
    line = {"step": state["step"], "minutes": round(state["spent"] / 60, 1), "weights": arguments.weights}
    pipeline = load_pipeline(arguments.run, arguments.vae, arguments.tokenizer, arguments.weights)
    pipeline.set_progress_bar_config(disable=True)
    loss, *regions = Judge(pipeline, arguments.data).losses(pipeline.transformer, arguments.batches)
    line |= {"unseen": round(loss, 4), "noisiest to cleanest": [round(value, 4) for value in regions]}
    if judge and arguments.prompts:
        started = time.monotonic()
        line |= accuracy(pipeline, classifier.load(judge), *held_out(arguments.prompts), arguments.steps, arguments.guidance)
        line |= {"prompts": arguments.prompts, "guidance": arguments.guidance, "seconds each": round((time.monotonic() - started) / arguments.prompts, 2)}
    with open(arguments.run / "watch.jsonl", "a") as log:
        log.write(json.dumps(line) + "\n")
    print("  ".join(f"{key} {value}" for key, value in line.items()))


if __name__ == "__main__":
    main()
