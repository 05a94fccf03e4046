"""Two readings of one rule: what `training.diffcr` runs is what the plain transcription in `training.goldens.routed` wrote down."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.diffcr import load_routed
from training.goldens.pipelines import Recipe, arguments

FOLDERS = sorted((Path(__file__).parents[2] / "tests/goldens/routed").iterdir())


@torch.no_grad()
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_step_of_the_golden(folder):
    request = json.loads((folder / "request.json").read_text())
    expected = load_file(folder / "expected.safetensors")
    pipeline = load_routed(folder / "model", policy=request.get("compress", "diffcr"), ratio=request.get("ratio"))
    pipeline.set_progress_bar_config(disable=True)
    predictions, step = [], pipeline.scheduler.step

    def note(prediction, timestep, sample, **more):
        predictions.append(prediction[:1])
        return step(prediction, timestep, sample, **more)

    note.__signature__ = inspect.signature(step)  # pipelines look there before they pass a generator
    pipeline.scheduler.step = note
    pipeline(**arguments(Recipe("", request["pipeline"], None, request), {}))
    assert len(predictions) == request["steps"]
    for i, prediction in enumerate(predictions):
        true = expected[f"noise_pred.{i}"]
        assert (prediction - true).norm() < 1e-5 * true.norm(), f"step {i}"
