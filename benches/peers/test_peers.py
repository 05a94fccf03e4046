"""python -m pytest benches/peers"""

import os
import sys

import pytest
import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel

from . import report
from .__main__ import TOLERANCE, deviation
from .cases import DIFFCR, Case, given, predicted
from .protocol import Failed, Peer
from .transformer import Transformer

SIZES = dict(num_attention_heads=2, attention_head_dim=8, num_layers=2, in_channels=4, out_channels=8, patch_size=2, sample_size=8)
YARDSTICK = report.YARDSTICK

MODELS = {
    "dit": lambda: DiTTransformer2DModel(**SIZES, num_embeds_ada_norm=10),
    "pixart": lambda: PixArtTransformer2DModel(**SIZES, cross_attention_dim=16, caption_channels=12, use_additional_conditions=False),
}


@pytest.mark.parametrize("kind", MODELS)
@torch.inference_mode()
def test_the_lean_transformer_is_that_of_diffusers(kind, tmp_path):
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    model.save_pretrained(tmp_path / "transformer")
    inputs = given(model)
    expected = predicted(model, inputs).numpy()
    step = Transformer(tmp_path, inputs).eval()
    assert deviation(step(inputs["latents"], inputs["timestep"]).numpy(), expected) < 1e-5
    # The twin that must fail: the step before.
    assert deviation(step(inputs["latents"], inputs["timestep"] - 50).numpy(), expected) > TOLERANCE


def test_what_a_peer_cannot_do_is_said(tmp_path):
    program = """
import json
from pathlib import Path
from benches.peers.protocol import serve
def load(folder):
    if folder.name == "bad":
        raise ValueError("no such case")
    import numpy
    return lambda: numpy.zeros((1, 2), numpy.float32)
serve(load)
"""

    peer = Peer("fake", [sys.executable, "-c", program], dict(os.environ), tmp_path / "log")
    try:
        assert peer.load(tmp_path / "good", tmp_path / "out.safetensors") is None
        assert 0 < peer.time(tmp_path / "good") < 0.1
        with pytest.raises(Failed, match="ValueError: no such case"):
            peer.load(tmp_path / "bad", tmp_path / "out.safetensors")
        assert peer.time(tmp_path / "good") > 0
    finally:
        peer.stop()
    with pytest.raises(Failed, match="it ended"):
        Peer("fake", [sys.executable, "-c", ""], dict(os.environ), tmp_path / "log").load(tmp_path, tmp_path)


def test_ratios_are_of_one_round_each():
    run = report.Run()
    ours, theirs = ("c", "dense", "Foveate"), ("c", "dense", YARDSTICK)
    # The second round was slow for both, and only one of them was timed in the last.
    run.seconds = {ours: [1.0, 10.0, 1.5], theirs: [2.0, 20.0, 2.0, 0.1]}
    assert run.ratio(ours, theirs) == 0.5
    assert run.ratio(("c", "dense", "onnxruntime"), theirs) is None


def test_tables_take_the_place_of_the_old_ones(tmp_path):
    case = Case("c", "a case", None, DIFFCR)
    key = lambda policy, name: ("c", policy, name)
    run = report.Run(
        seconds={key("dense", "Foveate"): [0.1], key("diffcr", "Foveate"): [0.08], key("dense", YARDSTICK): [0.2]},
        flops={key("dense", "Foveate"): 10.0, key("diffcr", "Foveate"): 6.0},
        deviations={key("dense", "Foveate"): 2e-7},
        failures={key("dense", "onnxruntime"): "it ended"},
    )
    text = report.markdown([case], {2: run}, 5)
    assert "| a case | 0.50 |" in text
    assert "| a case | diffcr | Foveate, two threads | 0.60 | 0.80 | 0.75 | 0.40 |" in text
    assert "onnxruntime, c, dense, two threads: it ended." in text
    file = tmp_path / "performance.md"
    file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(file, text)
    report.write(file, text)
    assert file.read_text() == f"before\n{report.BEGIN}\n\n{text}\n{report.END}\nafter\n"
