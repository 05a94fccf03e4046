"""`python -m training.goldens.sensitivity tests/goldens`: does a golden notice the mistakes it is there to notice?

Runs saved folders again with one thing wrong each and prints how far the first noise prediction moves (relative L2).
Anything near 1e-4, the tolerance of the tests, is a golden that cannot fail.
"""

import argparse
import json
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file

from .__main__ import quiet


def no_mask(pipe, words):
    # Into the text path first, so that a pipeline without one is left out.
    transformer, forward = pipe.text_encoder and pipe.transformer, pipe.transformer.forward
    transformer.forward = lambda *a, **k: forward(*a, **{**k, "encoder_attention_mask": None})


def no_text_mask(pipe, words):
    forward = pipe.text_encoder.forward
    pipe.text_encoder.forward = lambda ids, attention_mask: forward(ids)


def other_guidance(pipe, words):
    words["guidance_scale"] += 0.05


def no_negative(pipe, words):
    if not words["negative_prompt"]:
        raise KeyError("no negative prompt to forget")
    words["negative_prompt"] = ""


def one_word(pipe, words):
    words["prompt"] = words["prompt"].replace("Fox", "dog")


def flat_bias(pipe, words):
    pipe.text_encoder.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.data.zero_()


def positions_unscaled(pipe, words):
    pipe.transformer.pos_embed.interpolation_scale = 1


def other_base(pipe, words):
    pipe.transformer.pos_embed.base_size *= 2


def frequency_shift(pipe, words):
    for module in pipe.transformer.modules():
        if hasattr(module, "downscale_freq_shift"):
            module.downscale_freq_shift = 1 - module.downscale_freq_shift


def other_gelu(pipe, words):
    for block in pipe.transformer.transformer_blocks:
        gelu = block.ff.net[0]
        gelu.approximate = "none" if gelu.approximate == "tanh" else "tanh"


def shared_embedder(pipe, words):
    blocks = pipe.transformer.transformer_blocks
    for block in blocks:
        block.norm1.emb = blocks[0].norm1.emb


def other_class(pipe, words):
    words["class_labels"] = [words["class_labels"][0] - 1]


MISTAKES = [
    no_mask, no_text_mask, other_guidance, no_negative, one_word, flat_bias, positions_unscaled, other_base,
    frequency_shift, other_gelu, shared_embedder, other_class,
]  # fmt: skip


def words_of(request: dict, inputs: dict, pipe) -> dict:
    words = {"num_inference_steps": request["steps"], "guidance_scale": request["guidance"], "output_type": "latent"}
    words["generator"] = torch.Generator("cpu").manual_seed(request["seed"])
    if "class" in request:
        return {**words, "output_type": "pt", "class_labels": [request["class"]]}
    words |= {"prompt": request["prompt"], "negative_prompt": request["negative"], "latents": inputs["latents"]}
    words |= dict(zip(["width", "height"], request["size"])) | {"use_resolution_binning": False}
    return {**words, "max_sequence_length": request["max_sequence_length"]}


@contextmanager
def first_prediction(pipe):
    seen, step = [], pipe.scheduler.step
    pipe.scheduler.step = lambda output, *a, **k: (seen.append(output[:1]), step(output, *a, **k))[1]
    yield seen


def moved(folder: Path, request: dict, mistake) -> float | None:
    pipe = getattr(diffusers, request["pipeline"]).from_pretrained(folder / "model", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    words = words_of(request, load_file(folder / "inputs.safetensors"), pipe)
    try:
        mistake(pipe, words)
        with first_prediction(pipe) as seen:
            pipe(**words)
    except (AttributeError, KeyError, IndexError):
        return None  # This model has no such part, or no null label.
    true = load_file(folder / "expected.safetensors")["noise_pred.0"]
    return ((seen[0] - true).norm() / true.norm()).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    root = parser.parse_args().folder
    quiet()
    names = ["dit_ddim", "dit_nosigma_dpm", "pixart_alpha", "pixart_alpha_micro", "pixart_alpha_relu", "pixart_sigma"]
    print(f"{'':20}" + "".join(f"{name:>20}" for name in names))
    for mistake in [lambda pipe, words: None, *MISTAKES]:
        row = []
        for name in names:
            request = json.loads((root / name / "request.json").read_text())
            value = moved(root / name, request, mistake)
            row.append(f"{'' if value is None else format(value, '.1e'):>20}")
        print(f"{mistake.__name__ if mistake in MISTAKES else 'nothing wrong':20}" + "".join(row))


if __name__ == "__main__":
    main()
