"""What the table's rows run under is what the goldens' programs wrote down: options reach them, and nothing is left over from a call before."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.evaluation.in_pytorch import compressed
from training.evaluation.rows import STEPS, Row, key
from training.goldens import pipelines
from training.goldens.pipelines import Recipe

GOLDENS = Path(__file__).parents[2] / "tests/goldens"
FOLDERS = sorted(path.parent for path in GOLDENS.glob("cached/*/request.json")) + [GOLDENS / "merged/sdtm_dit", GOLDENS / "kv/dit_policy"]


@torch.no_grad()
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_row_runs_as_the_golden(folder):
    request = json.loads((folder / "request.json").read_text())
    row = Row("", folder / "model", request["compress"], request.get("ratio"), request.get("set", {}), request.get("step_cache", ""))
    given = tuple({name.removeprefix("negative_").replace("attention_mask", "embeds") for name in request["given"]})
    recipe = Recipe("", request["pipeline"], None, request, given=given)
    expected = load_file(folder / "expected.safetensors")
    for _ in range(2):
        made = pipelines.run(recipe, folder / "model", lambda pipe, seen: compressed(row, pipe.transformer, request["steps"]))[2]
        for name in (name for name in expected if name.startswith("noise_pred.")):
            assert (made[name] - expected[name]).norm() < 1e-5 * expected[name].norm(), name


def row(tmp_path, config: dict, **fields) -> Row:
    (tmp_path / "transformer").mkdir(exist_ok=True)
    (tmp_path / "transformer/config.json").write_text(json.dumps({"num_layers": 4, "sample_size": 8, "patch_size": 1, **config}))
    (tmp_path / "transformer/diffusion_pytorch_model.safetensors").write_bytes(b"1")
    return Row("x", tmp_path, **fields)


def test_what_rows_save(tmp_path):
    cache = "every=2,first=1,last=1"
    assert row(tmp_path, {}, policy="dense").saved_of_steps(20) == 0
    assert row(tmp_path, {}, policy="dense", step_cache=cache).saved_of_steps(20) == pytest.approx(0.5 * 2 / 4)
    assert row(tmp_path, {}, policy="tome", ratio=0.5).saved_of_steps(20) == pytest.approx(0.5 / 3)
    both = row(tmp_path, {}, policy="tome", ratio=0.9, set={"mlp": True})
    assert both.saved_of_steps(20) == pytest.approx(0.75 * 2 / 3), "one token of every cell stays"
    # Steps 0 and 2 are protected; step 1 merges ⌊64 · (0.1 + 0.4 cos π/4)⌋ = 24 tokens, eight windows, in two sublayers of three.
    sdtm = {"policy": "sdtm", "ratio": 0.3, "set": {"multiple": 1, "protect_every": 2}}
    assert row(tmp_path, {}, **sdtm).saved_of_steps(3) == pytest.approx(24 / 64 * 2 / 3 / 3)
    assert row(tmp_path, {}, **sdtm, step_cache=cache).saved_of_steps(3) == pytest.approx((24 / 64 * 2 / 3 * 2 + 2) / 4 / 3)
    assert row(tmp_path, {}, policy="kv", set={"stride": 2, "sampling": "average"}).saved_of_steps(20) == 0
    # Of a picture in STEPS dense steps, fewer steps save as well.
    assert row(tmp_path, {}, policy="dense", steps=STEPS // 2).saved() == pytest.approx(0.5)
    assert row(tmp_path, {}, policy="tome", ratio=0.5, steps=STEPS // 2).saved() == pytest.approx(1 - 0.5 * (1 - 1 / 6))
    assert row(tmp_path, {}, policy="tome", ratio=0.5).saved() == pytest.approx(1 / 6)


def test_options_and_keys(tmp_path):
    plain, merging = row(tmp_path, {}, policy="tome", ratio=0.5), row(tmp_path, {}, policy="tome", ratio=0.5, set={"mlp": True})
    cached = row(tmp_path, {}, policy="tome", ratio=0.5, set={"mlp": True}, step_cache="every=2,first=1,last=1")
    assert cached.options() == ["--ratio", "0.5", "--set", "mlp=true", "--step-cache", "every=2,first=1,last=1"]
    fewer = row(tmp_path, {}, policy="tome", ratio=0.5, steps=12)
    assert len({key(of, {}) for of in (plain, merging, cached, fewer)}) == 4
