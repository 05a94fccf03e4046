"""`schedulers/`: every scheduler driven over a fake model whose outputs are fixed random tensors.

The outputs do not depend on the sample, so a case fails where its arithmetic is wrong and not where an earlier error grew.
"""

import math
import sys
from pathlib import Path

import diffusers
import torch

from . import scheduler_cases, store

SHAPE = (1, 2, 3, 3)
LONGEST = 50
KINDS = {
    "ddim": (diffusers.DDIMScheduler, scheduler_cases.ddim),
    "ddpm": (diffusers.DDPMScheduler, scheduler_cases.ddpm),
    "dpm_solver": (diffusers.DPMSolverMultistepScheduler, scheduler_cases.dpm_solver),
    "euler": (diffusers.EulerDiscreteScheduler, scheduler_cases.euler),
    "flow_match": (diffusers.FlowMatchEulerDiscreteScheduler, scheduler_cases.flow_match),
}


def fake_model() -> dict[str, torch.Tensor]:
    generator = torch.Generator("cpu").manual_seed(2026)
    sample = torch.randn(SHAPE, generator=generator)
    outputs = torch.randn((LONGEST, *SHAPE), generator=generator)
    # What a model with learned variance returns: as many channels again, here in 0…0.9 as a variance must not be negative.
    variances = 0.9 * torch.rand((LONGEST, *SHAPE), generator=generator)
    return {"sample": sample, "model_outputs": outputs, "model_outputs_wide": torch.cat([outputs, variances], dim=2)}


class Recorder:
    """Stands in for the module's randn_tensor, so that the noise a step draws can be stored."""

    def __init__(self, module):
        self.module, self.draw, self.drawn = module, module.randn_tensor, None

    def __call__(self, shape, **kwargs):
        self.drawn = self.draw(shape, **kwargs)
        return self.drawn

    def __enter__(self):
        self.module.randn_tensor = self
        return self

    def __exit__(self, *_):
        self.module.randn_tensor = self.draw


def drive(scheduler, case: dict, fake: dict, recorder: Recorder) -> tuple[dict, dict]:
    """Runs one case; returns its JSON part and its tensors."""
    scheduler.set_timesteps(case["steps"], **case["call"])
    if hasattr(scheduler, "set_begin_index"):
        # Without it a schedule whose first two timesteps are equal starts at the second and runs off its end.
        scheduler.set_begin_index(0)
    outputs = "model_outputs_wide" if str(scheduler.config.get("variance_type")).startswith("learned") else "model_outputs"
    has_scaling = hasattr(scheduler, "scale_model_input")
    sigma = float(getattr(scheduler, "init_noise_sigma", 1.0))
    sample, generator = fake["sample"] * sigma, torch.Generator("cpu").manual_seed(case["steps"])
    rows = {"scaled": [], "samples": [], "noise": [], "predicted": []}
    for index, timestep in enumerate(scheduler.timesteps):
        recorder.drawn = None
        scaled = scheduler.scale_model_input(sample, timestep) if has_scaling else sample
        arguments = dict(case["step"])
        if "generator" in scheduler.step.__code__.co_varnames:
            arguments["generator"] = generator
        result = scheduler.step(fake[outputs][index], timestep, sample, **arguments)
        sample = result.prev_sample
        rows["scaled"].append(scaled)
        rows["samples"].append(sample)
        rows["noise"].append(torch.zeros(SHAPE) if recorder.drawn is None else recorder.drawn)
        rows["predicted"].append(getattr(result, "pred_original_sample", None))
    if not has_scaling or torch.equal(rows["scaled"][0], fake["sample"] * sigma):
        del rows["scaled"]
    if not any(noise.any() for noise in rows["noise"]):
        del rows["noise"]
    if rows["predicted"][0] is None:
        del rows["predicted"]
    tensors = {name: torch.stack(row) for name, row in rows.items()}
    assert all(value.isfinite().all() for name, value in tensors.items() if name != "predicted"), case
    tensors["timesteps"] = scheduler.timesteps.to(torch.float32)
    if hasattr(scheduler, "sigmas"):
        tensors["sigmas"] = scheduler.sigmas
    return {"init_noise_sigma": sigma, "model_outputs": outputs}, tensors


def strict(config: dict) -> dict:
    """The config as save_pretrained writes it, less its one value that strict JSON lacks: lambda_min_clipped = -Infinity."""
    infinite = [key for key, value in config.items() if isinstance(value, float) and not math.isfinite(value)]
    assert set(infinite) <= {"lambda_min_clipped"}, infinite
    # _use_default_values is how diffusers remembers what was given; it is never saved.
    return {key: value for key, value in sorted(config.items()) if key not in infinite and key != "_use_default_values"}


def write(out: Path) -> None:
    torch.manual_seed(0)
    for kind, (scheduler_class, cases) in KINDS.items():
        fake = fake_model()
        tensors, documents = dict(fake), []
        module = sys.modules[scheduler_class.__module__]
        for case in cases():
            scheduler = scheduler_class(**case["config"])
            # Taken before the run: set_timesteps may write into the scheduler's config.
            config = strict({"_class_name": scheduler_class.__name__, **scheduler.config})
            with Recorder(module) as recorder:
                facts, results = drive(scheduler, case, fake, recorder)
            tensors.update({f"{case['name']}/{name}": value for name, value in results.items()})
            documents.append({**case, **facts, "set": sorted(case["config"]), "config": config, "tensors": sorted(results)})
        assert len({case["name"] for case in documents}) == len(documents), "two cases share a name"
        store.tensors(out / f"{kind}.safetensors", tensors)
        store.document(out / f"{kind}.cases.json", documents)
