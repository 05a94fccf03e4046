"""A row beside the dense model in fewer steps: which rows those are, what takes as long, and by how much it is better."""

import numpy as np
import pytest

from training.evaluation.matched import between, duration, gain, ladder, right_of


def row(name: str, right: str, steps: int = 20, **more) -> dict:
    return {"name": name, "right": right, "steps": steps, "policy": "dense", "model": "a", "step_cache": "", **more}


ROWS = [
    {"name": "real scenes"},
    row("control", "1111"),
    row("dense, 10 steps", "1100", 10),
    row("dense, 5 steps", "0000", 5),
    row("cached", "1110", step_cache="every=2"),
    row("other weights", "0000", 15, model="b"),
    row("merged", "1111", 20, policy="tome"),
]


def times(row: float, dense: float = 1.0) -> dict:
    return {"row": {"seconds": row}, "dense": {"seconds": dense}}


def test_the_ladder_is_the_controls_weights_dense_and_uncached():
    assert [rung.steps for rung in ladder(ROWS, "control")] == [5, 10, 20]
    assert ladder(ROWS, "unknown") == []


def test_time_is_counted_in_dense_steps():
    assert duration(row("x", "1", 20), times(0.6, 0.8)) == pytest.approx(15)
    assert duration(row("x", "1", 12), times(0.8, 0.8)) == 12


def test_between_rungs_a_picture_is_right_by_share():
    rungs = ladder(ROWS, "control")
    assert between(rungs, 10).tolist() == [1, 1, 0, 0]
    assert between(rungs, 15).tolist() == [1, 1, 0.5, 0.5]
    assert between(rungs, 5).tolist() == [0, 0, 0, 0]
    assert between(rungs, 30).tolist() == [1, 1, 1, 1]  # beyond the ladder: its last rung
    assert between(rungs, 4.9) is None and between([], 10) is None
    assert between(rungs[2:], 20).tolist() == [1, 1, 1, 1]


def test_gains_are_taken_picture_by_picture():
    rungs = ladder(ROWS, "control")
    mean, error = gain(row("x", "1110"), times(0.75), rungs)  # 15 dense steps: 1, 1, ½, ½
    assert (mean, error) == pytest.approx((0.0, np.std([0, 0, 0.5, -0.5]) / 2))
    assert gain(row("x", "1110"), times(0.1), rungs) is None  # faster than the ladder reaches
    assert gain({"steps": 20}, times(1), rungs) is None
    assert right_of(row("x", "0110")).tolist() == [0, 1, 1, 0]
