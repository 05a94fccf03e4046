"""Goldens of runs that begin with a picture. diffusers has no such pipeline for these transformers, so its own parts are put
together: the methods of `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline` prepare timesteps, latents and
masks, and each step calls transformer and scheduler as `PixArtAlphaPipeline` and `DiTPipeline` do."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import diffusers
import torch
from diffusers import StableDiffusionImg2ImgPipeline as Change
from diffusers import StableDiffusionInpaintPipeline as Inpaint
from diffusers.image_processor import VaeImageProcessor

from . import store
from .capture import check
from .pipelines import SEQUENCE, Recipe, save


@dataclass
class Pictured:
    """A recipe, and what is done to its picture."""

    recipe: Recipe
    strength: float
    # Rows and columns of pixels that are drawn anew: none for image-to-image.
    mask: tuple[slice, slice] | None = None
    # Masked compute: all tokens every so many steps, and so many tokens around the mask.
    masked: tuple[int, int] | None = None


def picture(size: list[int], seed: int) -> torch.Tensor:
    """A smooth picture with a hard edge, `[1, 3, H, W]` in 0…1."""
    width, height = size
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = torch.stack([0.5 + 0.4 * torch.sin(seed + 5 * x + (3 + c) * y) for c in range(3)])
    waves[:, :, width // 2 :] *= 0.7
    return waves[None]


def drawn_anew(pictured: Pictured) -> torch.Tensor:
    """`[1, 1, H, W]`, 1 where the mask is."""
    width, height = pictured.recipe.request["size"]
    mask = torch.zeros(1, 1, height, width)
    mask[0, 0][pictured.mask] = 1
    return mask


class Context:
    """Masked compute as a rule: in steps between those that compute all tokens, the tokens outside the mask have the keys
    and values of the last step that did. All rows are computed here; those outside the mask change nothing that is kept."""

    def __init__(self, transformer, tokens: torch.Tensor, every: int):
        self.tokens, self.every, self.step, self.kept = tokens, every, -1, {}
        for block in transformer.transformer_blocks:
            for name in ["to_k", "to_v"]:
                getattr(block.attn1, name).register_forward_hook(self.hook)

    def hook(self, module, _arguments, output):
        if self.step % self.every:
            output = torch.where(self.tokens[None, :, None], output, self.kept[module])
        self.kept[module] = output
        return output


def marked_tokens(mask: torch.Tensor, patch: int, around: int) -> torch.Tensor:
    """Of the tokens of a latent mask `[1, 1, h, w]` which are computed, `[N]`."""
    tokens = torch.nn.functional.max_pool2d(mask, patch)
    if around:
        tokens = torch.nn.functional.max_pool2d(tokens, 2 * around + 1, stride=1, padding=around)
    return tokens.flatten() > 0


class Run:
    """One run. The methods of diffusers' pipelines take it for the pipeline that they belong to."""

    def __init__(self, pictured: Pictured, folder: Path):
        self.pictured, self.recipe, self.request = pictured, pictured.recipe, pictured.recipe.request
        pipe = getattr(diffusers, self.recipe.pipeline).from_pretrained(folder, torch_dtype=torch.float32)
        self.pipe, self.vae, self.scheduler = pipe, pipe.vae, pipe.scheduler
        self.vae_scale_factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.mask_processor = VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor, do_normalize=False, do_binarize=True, do_convert_grayscale=True
        )
        self.generator = torch.Generator("cpu").manual_seed(self.request["seed"])
        self.image = picture(self.request["size"], self.request["seed"])
        self.guided = self.request["guidance"] > 1

    def _encode_vae_image(self, image, generator):
        return Inpaint._encode_vae_image(self, image, generator)

    def conditioning(self) -> dict:
        """The transformer's arguments beside latents and timestep."""
        if self.recipe.pipeline == "DiTPipeline":
            labels = [self.request["class"]] + [1000] * self.guided
            return {"class_labels": torch.tensor(labels)}
        prompt, mask, negative, negative_mask = self.pipe.encode_prompt(
            self.request["prompt"], self.guided, negative_prompt=self.request["negative"],
            max_sequence_length=SEQUENCE[self.recipe.pipeline],
        )  # fmt: skip
        if self.guided:
            prompt, mask = torch.cat([negative, prompt]), torch.cat([negative_mask, mask])
        sizes = {"resolution": None, "aspect_ratio": None}
        return {"encoder_hidden_states": prompt, "encoder_attention_mask": mask, "added_cond_kwargs": sizes}

    def begin(self, timesteps, shown: int):
        """The first latents, and with a mask what is kept: the picture's latents, the noise, the mask and what is left."""
        image = self.image_processor.preprocess(self.image)
        _, _, height, width = image.shape
        where = {"dtype": torch.float32, "device": "cpu"}
        if self.pictured.mask is None:
            latents = Change.prepare_latents(self, image, timesteps[:1], 1, 1, generator=self.generator, **where)
            return latents, None, None, None, None
        channels = self.vae.config.latent_channels
        strongest = self.pictured.strength == 1.0
        prepared = Inpaint.prepare_latents(
            self, 1, channels, height, width, generator=self.generator, image=image, timestep=timesteps[:1],
            is_strength_max=strongest, return_noise=True, return_image_latents=not shown, **where,
        )  # fmt: skip
        (latents, noise), known = prepared[:2], None if shown else prepared[2]
        mask = self.mask_processor.preprocess(drawn_anew(self.pictured))
        mask, left = Inpaint.prepare_mask_latents(
            self, mask, image * (mask < 0.5), 1, height, width,
            generator=self.generator, do_classifier_free_guidance=False, **where,
        )  # fmt: skip
        return latents, noise, known, mask, left

    def predict(self, latents, timestep, conditioning, shown) -> torch.Tensor:
        """What the guided transformer says, as far as the scheduler wants it."""
        samples = 1 + self.guided
        seen = self.scheduler.scale_model_input(torch.cat([latents] * samples), timestep)
        seen = torch.cat([seen, *(channel.repeat(samples, 1, 1, 1) for channel in shown)], dim=1)
        output = self.pipe.transformer(seen, timestep=timestep.expand(samples), **conditioning).sample
        output = output[:, : latents.shape[1]]
        if not self.guided:
            return output
        first, second = output.chunk(2)
        plain, prompted = (second, first) if self.recipe.pipeline == "DiTPipeline" else (first, second)
        return plain + self.request["guidance"] * (prompted - plain)

    @torch.no_grad()
    def draw(self) -> tuple[dict, dict]:
        """The tensors that it was given, and those that it made."""
        conditioning = self.conditioning()
        self.scheduler.set_timesteps(self.request["steps"])
        timesteps, _ = Change.get_timesteps(SimpleNamespace(scheduler=self.scheduler), self.request["steps"], self.pictured.strength, "cpu")
        fills_in = self.pipe.transformer.config.in_channels != self.vae.config.latent_channels
        latents, noise, known, mask, left = self.begin(timesteps, fills_in)
        shown = (mask, left) if fills_in else ()
        options = {}
        if "generator" in inspect.signature(self.scheduler.step).parameters:
            options["generator"] = self.generator
        seen = {"latents_start": latents}
        context = None
        if self.pictured.masked is not None:
            every, around = self.pictured.masked
            tokens = marked_tokens(mask, self.pipe.transformer.config.patch_size, around)
            assert 0 < tokens.sum() < len(tokens), "the mask leaves no context"
            context = Context(self.pipe.transformer, tokens, every)
        for i, timestep in enumerate(timesteps):
            if context:
                context.step = i
            seen[f"noise_pred.{i}"] = self.predict(latents, timestep, conditioning, shown)
            latents = self.scheduler.step(seen[f"noise_pred.{i}"], timestep, latents, **options, return_dict=False)[0]
            if mask is not None and not fills_in:
                proper = known
                if i + 1 < len(timesteps):
                    proper = self.scheduler.add_noise(known, noise, torch.tensor([timesteps[i + 1]]))
                latents = (1 - mask) * proper + mask * latents
            seen[f"latents.{i}"] = latents
        if context:
            # Outside the tokens that are computed nothing is predicted.
            seen = {name: value for name, value in seen.items() if not name.startswith("noise_pred")}
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
        seen["image"] = (decoded / 2 + 0.5).clamp(0, 1)[0]
        inputs = {"picture": self.image[0]}
        if self.pictured.mask is not None:
            inputs["mask"] = drawn_anew(self.pictured)[0, 0]
        return inputs, seen


def writer(pictured: Pictured):
    def write(out: Path) -> None:
        save(pictured.recipe, out)
        inputs, expected = Run(pictured, out / "model").draw()
        check(expected)
        recipe = pictured.recipe
        request = {"covers": recipe.covers, "pipeline": recipe.pipeline, **recipe.request, "strength": pictured.strength}
        if recipe.pipeline in SEQUENCE:
            request["max_sequence_length"] = SEQUENCE[recipe.pipeline]
        if pictured.masked is not None:
            request["masked"] = "every={},around={},decode=whole".format(*pictured.masked)
        request |= {"scheduler": type(recipe.scheduler).__name__, "dtype": recipe.dtype, "given": []}
        store.tensors(out / "inputs.safetensors", inputs)
        store.tensors(out / "expected.safetensors", expected)
        store.document(out / "request.json", request)

    return write
