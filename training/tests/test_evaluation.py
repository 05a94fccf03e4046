"""The Fréchet distance where its value is known, prompts that must be understood or refused, rows that may be used again."""

import json
from argparse import Namespace

import numpy as np
import pytest

from training.evaluate import chosen
from training.evaluation.frechet import distance, gaussian, spread
from training.evaluation.prompts import held_out, stated
from training.evaluation.quality import Quality
from training.evaluation.rows import key, read


def test_gaussians_with_one_covariance_are_as_far_apart_as_their_means():
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert distance((np.zeros(2), covariance), (np.array([3.0, 4.0]), covariance)) == pytest.approx(25)


def test_gaussians_along_the_axes():
    """Covariances that commute: the sum of (σ₁ − σ₂)² over the axes."""
    first, second = np.diag([4.0, 9.0, 1.0]), np.diag([1.0, 25.0, 1.0])
    assert distance((np.zeros(3), first), (np.zeros(3), second)) == pytest.approx((2 - 1) ** 2 + (3 - 5) ** 2)


def test_a_rotation_of_both_changes_nothing_and_the_order_neither():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a, b = rng.normal(size=(2, 50, 4)) * [1, 2, 3, 4]
    value = distance(gaussian(a), gaussian(b))
    assert distance(gaussian(a @ rotation), gaussian(b @ rotation)) == pytest.approx(value)
    assert distance(gaussian(b), gaussian(a)) == pytest.approx(value)
    assert distance(gaussian(a), gaussian(a)) == pytest.approx(0, abs=1e-9)


def test_covariances_that_do_not_commute():
    """tr (Σ₁Σ₂)^½ of 2 × 2 matrices is √(tr Σ₁Σ₂ + 2·√det Σ₁Σ₂)."""
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    product = first @ second
    overlap = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * overlap
    assert distance((np.zeros(2), first), (np.zeros(2), second)) == pytest.approx(expected)


def test_fewer_pictures_say_less():
    rng = np.random.default_rng(0)
    real = gaussian(rng.normal(size=(5000, 3)))
    points = rng.normal(size=(2000, 3)) + 0.5
    assert spread(points[:100], real) > 2 * spread(points, real) > 0


def test_what_a_prompt_states():
    assert stated("a red fish on the left above the sea at sunset") == {"object": "fish", "colour": "red", "place": "sea"}
    assert stated("in outer space, one huge white star") == {"object": "star", "colour": "white", "place": "space"}
    assert stated("an orange cat among the stars") == {"object": "cat", "colour": "orange", "place": "space"}


@pytest.mark.parametrize("prompt", ["red house", "a red house at night", "a red cat and a blue cup in the snow", "a cat in space", ""])
def test_what_leaves_something_open_is_refused(prompt):
    assert stated(prompt) is None


def test_held_out_prompts_are_the_same_every_time():
    prompts, wanted = held_out(50)
    assert len(prompts) == 50 and all(stated(prompt) for prompt in prompts)
    assert held_out(20)[0] == prompts[:20]
    assert {name: len(values) for name, values in wanted.items()} == {"object": 50, "colour": 50, "place": 50}


def test_differences_are_taken_picture_by_picture():
    """Two rows that fail at the same prompts differ less surely by chance than their own errors say."""
    right = np.random.default_rng(0).random((1000, 4)) < 0.5
    other = right.copy()
    other[:10] = ~other[:10]
    gain, error = Quality(right, 0, 0).against(Quality(other, 0, 0))
    assert abs(gain) <= 0.01 and error < Quality(right, 0, 0).error()[3] / 4


def test_rows_change_their_key_with_their_weights_and_fall_back(tmp_path):
    def model(name: str, weights: bytes):
        (tmp_path / name / "transformer").mkdir(parents=True)
        (tmp_path / name / "transformer/diffusion_pytorch_model.safetensors").write_bytes(weights)
        (tmp_path / name / "transformer/config.json").write_text("{}")

    model("a", b"1")
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([
        {"name": "L 20 %", "model": str(tmp_path / "b"), "policy": "dense", "otherwise": {"model": str(tmp_path / "a"), "note": "x"}},
        {"name": "none", "model": str(tmp_path / "c"), "policy": "dense"},
    ]))  # fmt: skip
    (fallen,) = read(file)
    assert chosen(Namespace(rows=file, only=["L 20 %"])) == chosen(Namespace(rows=file, only=None)) == [fallen]
    with pytest.raises(SystemExit, match="no row 'none' with a model"):
        chosen(Namespace(rows=file, only=["none", "L 20 %"]))
    assert (fallen.model, fallen.note) == (tmp_path / "a", "x")
    before = key(fallen, {"steps": 20})
    assert before.startswith("l-20-") and before == key(fallen, {"steps": 20}) != key(fallen, {"steps": 10})
    model("b", b"2")
    (own,) = read(file)
    assert own.note == "" and key(own, {"steps": 20}) != before
