"""Watching a real pipeline run: what its parts are handed and what they return."""

import inspect
import sys
from contextlib import contextmanager

import torch


class Capture(dict):
    """The tensors of one run, by the names the goldens use."""

    def __init__(self, pipe, steps: int, trace: bool, count: int = 1):
        super().__init__()
        self.pipe, self.steps, self.trace, self.count, self.step = pipe, steps, trace, count, 0

    @contextmanager
    def watching(self):
        pipe = self.pipe
        original = pipe.scheduler.step
        pipe.scheduler.step = self.wrap_step(original)
        restores = [self.watch_noise(type(pipe), "latents_init"), self.watch_noise(type(pipe.scheduler), None)]
        hooks = [pipe.transformer.register_forward_hook(self.raw_output)] if self.trace else []
        if self.trace:
            hooks += [module.register_forward_hook(self.traced(name)) for name, module in traced_modules(pipe.transformer)]
        if getattr(pipe, "text_encoder", None) is not None:
            hooks.append(pipe.text_encoder.register_forward_hook(self.text, with_kwargs=True))
        try:
            yield self
        finally:
            pipe.scheduler.step = original
            for restore in restores:
                restore()
            for hook in hooks:
                hook.remove()

    def wrap_step(self, original):
        def step(model_output, timestep, sample, **arguments):
            if self.step == 0:
                self["latents_start"] = sample[: self.count]
            self[f"noise_pred.{self.step}"] = model_output[: self.count]
            result = original(model_output, timestep, sample, **arguments)
            # PixArt-α at one step goes on with the second value, the predicted x₀, instead of the stepped sample.
            one_step = type(self.pipe).__name__ == "PixArtAlphaPipeline" and self.steps == 1
            # DiT steps both halves of its guided batch; the first one lives on.
            self[f"latents.{self.step}"] = result[1 if one_step else 0][: self.count]
            self.step += 1
            return result

        # The pipelines look at the signature to decide whether to pass a generator and eta.
        step.__signature__ = inspect.signature(original)
        return step

    def watch_noise(self, owner, name: str | None):
        """Records what the module of `owner` draws: the first latents, or the noise of a stochastic step."""
        module = sys.modules[owner.__module__]
        if not hasattr(module, "randn_tensor"):
            return lambda: None
        original = module.randn_tensor

        def randn_tensor(*arguments, **options):
            drawn = original(*arguments, **options)
            self[name or f"step_noise.{self.step}"] = drawn
            return drawn

        module.randn_tensor = randn_tensor
        return lambda: setattr(module, "randn_tensor", original)

    def text(self, _module, arguments, options, output):
        prefix = "negative_" if "prompt_embeds" in self else ""
        self[f"{prefix}input_ids"] = arguments[0]
        self[f"{prefix}attention_mask"] = options["attention_mask"]
        self[f"{prefix}prompt_embeds"] = output[0]

    def raw_output(self, _module, _arguments, output):
        self.setdefault("trace.output", output[0] if isinstance(output, tuple) else output.sample)

    def traced(self, name: str):
        def hook(_module, _arguments, output):
            self.setdefault(f"trace.{name}", output[0] if isinstance(output, tuple) else output)

        return hook


def traced_modules(transformer):
    """Where to look inside a transformer at step 0."""
    yield "patch_embed", transformer.pos_embed
    yield "block.0", transformer.transformer_blocks[0]
    if hasattr(transformer, "adaln_single"):
        yield "adaln", transformer.adaln_single
    else:
        yield "adaln.0", transformer.transformer_blocks[0].norm1.linear


def check(tensors: dict[str, torch.Tensor]) -> None:
    """A golden that overflows, dies out or saturates would accept wrong answers."""
    for name, value in tensors.items():
        assert value.isfinite().all(), f"{name} is not finite"
        if name.startswith("noise_pred"):
            assert 0.2 < value.std() < 8, f"{name} has standard deviation {value.std():.3g}"
    image = tensors["image"]
    saturated = ((image <= 0) | (image >= 1)).float().mean()
    assert saturated < 0.2 and image.std() > 0.05, f"{saturated:.0%} of the picture saturated, contrast {image.std():.3g}"
