"""One pipeline golden: build, save as diffusers saves, load that folder again, run it watched, write what happened."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import diffusers
import torch

from . import models, spiece, store
from .capture import Capture, check

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SEQUENCE = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}


@dataclass
class Recipe:
    """Everything that defines a pipeline golden."""

    covers: str
    pipeline: str
    scheduler: object
    request: dict
    transformer: dict = field(default_factory=dict)
    autoencoder: dict = field(default_factory=dict)
    text_encoder: dict | None = field(default_factory=dict)
    tokenizer: dict = field(default_factory=dict)
    keep_tokenizer_json: bool = False
    dtype: str = "f32"
    shard: str | None = None
    variant: str | None = None
    given: tuple[str, ...] = ()
    trace: bool = False


def build(recipe: Recipe, scratch: Path):
    """The pipeline with fresh random weights, and its tokeniser's folder as published checkpoints have it."""
    parts = {"scheduler": recipe.scheduler, "vae": models.autoencoder(**recipe.autoencoder)}
    if recipe.pipeline == "DiTPipeline":
        parts["transformer"] = models.dit(**recipe.transformer)
    else:
        parts["transformer"] = models.pixart(**recipe.transformer)
        parts["tokenizer"] = parts["text_encoder"] = None
        if recipe.text_encoder is not None:
            parts["tokenizer"] = spiece.folder(scratch, **recipe.tokenizer)
            # As in the published models the embedding has more rows than the tokeniser has ids.
            vocabulary = len(parts["tokenizer"]) + 9
            parts["text_encoder"] = models.text_encoder(vocabulary, **recipe.text_encoder)
    return getattr(diffusers, recipe.pipeline)(**parts)


def save(recipe: Recipe, out: Path) -> None:
    scratch = out / "scratch"
    pipe = build(recipe, scratch).to(DTYPES[recipe.dtype])
    options = {"max_shard_size": recipe.shard} if recipe.shard else {}
    pipe.save_pretrained(out / "model", variant=recipe.variant, **options)
    tokenizer = out / "model" / "tokenizer"
    if scratch.exists() and not recipe.keep_tokenizer_json:
        # transformers 5 saves tokenizer.json alone; what is published for PixArt has spiece.model alone.
        for file in tokenizer.iterdir():
            file.unlink()
        for file in scratch.iterdir():
            file.rename(tokenizer / file.name)
    for file in scratch.glob("*"):
        file.unlink()
    if scratch.exists():
        scratch.rmdir()


def arguments(recipe: Recipe, given: dict) -> dict:
    """The request in the words of the pipeline's __call__."""
    request = recipe.request
    words = {
        "num_inference_steps": request["steps"],
        "guidance_scale": request["guidance"],
        "generator": torch.Generator("cpu").manual_seed(request["seed"]),
        "output_type": "pt",
    }
    if recipe.pipeline == "DiTPipeline":
        return {**words, "class_labels": [request["class"]] * request.get("count", 1)}
    width, height = request["size"]
    words |= {"width": width, "height": height, "use_resolution_binning": request.get("use_resolution_binning", False)}
    if "prompt" in request:
        words |= {"prompt": request["prompt"], "negative_prompt": request.get("negative", "")}
    else:
        words |= {"negative_prompt": None}
    if "count" in request:
        words["num_images_per_prompt"] = request["count"]
    if "max_sequence_length" in request:
        words["max_sequence_length"] = request["max_sequence_length"]
    return {**words, **given}


def make_given(recipe: Recipe, pipe) -> dict:
    """The tensors the request brings along, drawn apart from its seed."""
    generator = torch.Generator("cpu").manual_seed(recipe.request["seed"] + 1000)
    given = {}
    if "latents" in recipe.given:
        width, height = (side // pipe.vae_scale_factor for side in recipe.request["size"])
        given["latents"] = torch.randn((1, pipe.transformer.config.in_channels, height, width), generator=generator)
    if "prompt_embeds" in recipe.given:
        width = pipe.transformer.config.caption_channels or pipe.transformer.config.cross_attention_dim
        for prefix, length in [("", 11), ("negative_", 4)]:
            given[f"{prefix}prompt_embeds"] = torch.randn((1, 17, width), generator=generator)
            given[f"{prefix}prompt_attention_mask"] = (torch.arange(17) < length).long()[None]
    return given


def run(recipe: Recipe, folder: Path, within=lambda pipe, seen: nullcontext()) -> tuple[list[str], dict, dict]:
    """Runs the saved folder in f32; returns which tensors it was given, all it could have been, and those it made.

    `within` may change the pipeline while it runs.
    """
    pipe = getattr(diffusers, recipe.pipeline).from_pretrained(folder, torch_dtype=torch.float32, variant=recipe.variant)
    pipe.set_progress_bar_config(disable=True)
    given = make_given(recipe, pipe)
    with Capture(pipe, recipe.request["steps"], recipe.trace, recipe.request.get("count", 1)).watching() as seen, within(pipe, seen):
        image = pipe(**arguments(recipe, given)).images
    seen["image"] = torch.as_tensor(image)[0]
    if "latents" in given:
        seen["latents_init"] = given["latents"]
    inputs = {"latents": seen["latents_init"], **given}
    for prefix in ["", "negative_"]:
        if f"{prefix}input_ids" in seen:
            for name in ["input_ids", "attention_mask", "prompt_embeds"]:
                inputs[prefix + name] = seen[prefix + name]
            inputs[f"{prefix}prompt_attention_mask"] = seen[f"{prefix}attention_mask"]
    return sorted(given), inputs, dict(seen)


def writer(recipe: Recipe):
    def write(out: Path) -> None:
        save(recipe, out)
        finish(recipe, out, *run(recipe, out / "model"))

    return write


def finish(recipe: Recipe, out: Path, given: list[str], inputs: dict, expected: dict, **more) -> None:
    """Writes what `run` returned beside the model, if it is fit; `more` goes into the request."""
    check(expected)
    request = {"covers": recipe.covers, "pipeline": recipe.pipeline, **recipe.request, **more}
    request |= {"scheduler": type(recipe.scheduler).__name__, "dtype": recipe.dtype}
    if recipe.pipeline in SEQUENCE and "prompt" in recipe.request:
        request.setdefault("max_sequence_length", SEQUENCE[recipe.pipeline])
    request["given"] = given
    store.tensors(out / "inputs.safetensors", inputs)
    store.tensors(out / "expected.safetensors", expected)
    store.document(out / "request.json", request)
