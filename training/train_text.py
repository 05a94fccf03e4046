"""Teaches the text encoder which words of a caption belong together:  python -m training.train_text --steps 1000

A minute before `training.train_dit`, which takes what this writes as `--text-encoder`. `reading.py` says why it is needed and what is taught.
With `--init` the encoder of a model folder learns it, and is held near to what it said before, so that the folder's transformer still
understands it. Captions are read alone, so a step costs next to nothing and a whole run minutes; it does not resume. `--frozen` asks an
encoder what it knows, and writes nothing.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import T5EncoderModel, T5Tokenizer

from . import models
from .muon import trapezoid
from .presets import PRESETS
from .reading import ReadingHead

WARM_UP = 50  # steps
UNSEEN = 1024  # the last pictures of the data set; their captions of two things are only asked about
RATE = 3e-3
# AdamW moves a parameter by about its rate a step, and these are not around 0.1 as matrices are: to look at one neighbour alone, a head
# needs a bias of several units there. At the common rate the encoder never learnt word order.
BIAS_RATE = 20.0


def optimiser_for(encoder: T5EncoderModel, head: ReadingHead) -> torch.optim.Optimizer:
    """Of the heads, and of what of the encoder learns."""
    learning = [(name, p) for name, p in encoder.named_parameters() if p.requires_grad]
    biases = [p for name, p in learning if "relative_attention_bias" in name]
    rest = [p for name, p in learning if "relative_attention_bias" not in name]
    groups = [{"params": biases, "factor": BIAS_RATE, "weight_decay": 0.0}, {"params": [*rest, *head.parameters()], "factor": 1.0}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), weight_decay=0.01)


def drift(text: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean square of what has changed, as a share of the mean square of what was there; both [B, S, D]."""
    real = mask[..., None] == 1
    return (text - before).square().masked_select(real).mean() / before.square().masked_select(real).mean()


def cut(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ids [B, S] to their longest caption, and their mask."""
    ids = ids[:, : int((ids != 0).sum(1).max())]
    return ids, (ids != 0).long()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--init", type=Path, help="a model folder whose text encoder to begin with")
    parser.add_argument("--keep", type=float, default=0.1, help="with --init: weight of staying near to what it said before")
    parser.add_argument("--frozen", action="store_true", help="only the heads learn: what --init's encoder knows already")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=128, help="captions a step")
    parser.add_argument("--out", type=Path, default=Path("runs/text_encoder"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    load = lambda: T5EncoderModel.from_pretrained(arguments.init / "text_encoder", dtype=torch.float32)
    encoder = load() if arguments.init else models.text_encoder(PRESETS[arguments.preset])
    before = load().eval().requires_grad_(False) if arguments.init else None
    tokenizer = T5Tokenizer.from_pretrained(arguments.tokenizer)
    head, encoder = ReadingHead(encoder.config.d_model, tokenizer), encoder.train().requires_grad_(not arguments.frozen)
    optimiser = optimiser_for(encoder, head)

    tokens, labels = (torch.from_numpy(np.load(arguments.data / f"{name}.npy").astype(np.int64)) for name in ("tokens", "labels"))
    learnt = len(tokens) - min(UNSEEN, len(tokens) // 4)
    rng = np.random.default_rng(arguments.seed)

    def ask(picked, variants) -> tuple[torch.Tensor, float, torch.Tensor]:
        ids, mask = cut(tokens[picked, variants])
        text = encoder(ids, attention_mask=mask).last_hidden_state
        loss, right = head.loss(text, ids, labels[picked])
        return loss, right, drift(text, before(ids, attention_mask=mask).last_hidden_state, mask) if before else torch.zeros(())

    for step in range(arguments.steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["factor"] * trapezoid(step / arguments.steps, step, WARM_UP)
        loss, right, moved = ask(rng.integers(learnt, size=arguments.batch), rng.integers(tokens.shape[1], size=arguments.batch))
        (loss + arguments.keep * moved).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}  loss {loss.item():.4f}  right {100 * right:.1f} %  drift {moved.item():.3f}", flush=True)

    encoder.eval()
    with torch.inference_mode():
        two = learnt + (labels[learnt:, 2] != 255).nonzero().flatten()  # of one thing there is nothing to mix up
        _, right, moved = ask(two, 0)
    said = f"{len(two)} unseen captions of two things: {100 * right:.1f} % of the answers right, drift {moved.item():.3f}"
    if not arguments.frozen:
        encoder.save_pretrained(arguments.out)
        said += f"; in {arguments.out}"
    print(said)


if __name__ == "__main__":
    main()
