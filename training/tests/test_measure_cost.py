"""What is said of passing tokens by is what that costs."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from training.diffcr import route, set_kept
from training.diffcr.folder import save_folder
from training.measure_cost import BEGIN, correlation, measure
from training.measure_diffcr import Judge, compare_starts

from .tiny import network, scenes

TOKENS = 64


def test_correlation_is_of_ranks():
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert correlation(a, a**5) == pytest.approx(1)
    assert correlation(a, -a.exp()) == pytest.approx(-1)
    assert correlation(a, torch.tensor([1.0, 4.0, 2.0, 3.0])) == pytest.approx(0.4)


@pytest.fixture
def data(tmp_path):
    scenes(tmp_path, slice(None), 5.0)
    return tmp_path


@pytest.fixture
def pipeline(tmp_path):
    """Of two layers, the second of which adds nothing."""
    transformer = network(2)
    last = transformer.transformer_blocks[1]
    for layer in (last.attn1.to_out[0], last.attn2.to_out[0], last.ff.net[2]):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    save_folder(transformer, None, "assets/scenes", tmp_path / "model", torch.float32)
    return DiffusionPipeline.from_pretrained(tmp_path / "model", dtype=torch.float32)


def test_the_cost_is_that_of_the_loss_and_a_layer_that_adds_nothing_costs_nothing(pipeline, data):
    first, last = measure(pipeline, data, pictures=2, tokens=TOKENS)
    assert torch.cat(last.thing + last.background).abs().max() == 0
    assert len(first.thing) == 2 and all(len(costs) == 9 for costs in first.thing)
    assert all(np.isfinite(first.line())) and torch.cat(first.thing).abs().max() > 0

    # One token of the first picture, by hand: the first thing's token, row 2 and column 2 of 8.
    judge, transformer = Judge(pipeline, data), pipeline.transformer.eval()
    noisy, timesteps, conditions, latents, noise = (
        {name: value[:1] for name, value in part.items()} if isinstance(part, dict) else part[:1] for part in judge.noisy(BEGIN)
    )
    loss = lambda: judge.objective.losses(judge.predict(transformer, noisy, timesteps, conditions), latents, noise, timesteps).item()
    with torch.no_grad():
        whole = loss()

        def pass_by(block, arguments, out):
            out = out.clone()
            out[:, 2 * 8 + 2] = arguments[0][:, 2 * 8 + 2]
            return out

        transformer.transformer_blocks[0].register_forward_hook(pass_by)
        without = loss()
    assert first.thing[0][0].item() == pytest.approx(1000 * (without - whole) / whole, rel=1e-3, abs=1e-3)


def test_ways_to_start_are_compared_at_the_same_ratios(pipeline, data, tmp_path, capsys):
    compare_starts(tmp_path / "model", data, batches=1, pictures=2)
    dense, head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["routers", "1", "kept", "0.9", "kept", "0.7", "kept", "0.5", "kept"]
    assert [row.split("  ")[0] for row in rows] == ["zero", "normal 0.02", "change", "cost"]
    transformer = route(DiffusionPipeline.from_pretrained(tmp_path / "model", dtype=torch.float32).transformer.eval())
    set_kept(transformer, None)
    loss = Judge(DiffusionPipeline.from_pretrained(tmp_path / "model", dtype=torch.float32), data).losses(transformer, 1)[0]
    assert dense == f"dense: {loss:.3f}"
