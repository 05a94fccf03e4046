"""Every row beside the dense model in fewer steps that take as long: what a method must beat to be worth its time.

Times are counted in steps of the dense model: a row of S steps takes S times its step's time over a dense step's, both from the same
run of bench. Text encoder and decoder are the same for all, and left out.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rung:
    """The dense model in so many steps, and which of its pictures are right [N]."""

    steps: int
    right: np.ndarray


def right_of(record: dict) -> np.ndarray:
    """Which of a row's pictures are right in all three [N]; kept as a string of 0 and 1."""
    return np.array([mark == "1" for mark in record["right"]], float)


def dense_rows(rows: list[dict], against: str) -> list[dict]:
    """The rows that run the control's weights dense and without a cache, fewest steps first."""
    control = next((row for row in rows if row["name"] == against), None)
    if control is None:
        return []
    same = (row for row in rows if "right" in row and row["policy"] == "dense" and not row["step_cache"] and row["model"] == control["model"])
    return sorted(same, key=lambda row: row["steps"])


def ladder(rows: list[dict], against: str) -> list[Rung]:
    return [Rung(row["steps"], right_of(row)) for row in dense_rows(rows, against)]


def duration(record: dict, times: dict) -> float:
    """Of the steps of a picture, in steps of the dense model; rounded, so that dense steps are whole ones."""
    return round(record["steps"] * times["row"]["seconds"] / times["dense"]["seconds"], 6)


def between(rungs: list[Rung], steps: float) -> np.ndarray | None:
    """How surely each picture is right in so many dense steps [N]: a line from rung to rung; None where the ladder does not reach.

    More steps than the ladder has count as its last: what takes longer than that has to be better all the same.
    """
    if not rungs or steps < rungs[0].steps:
        return None
    above = next((i for i, rung in enumerate(rungs) if rung.steps >= steps), len(rungs) - 1)
    low, high = rungs[max(above - 1, 0)], rungs[above]
    weight = min(1.0, (steps - low.steps) / (high.steps - low.steps)) if high.steps > low.steps else 1.0
    return (1 - weight) * low.right + weight * high.right


def gain(record: dict, times: dict, rungs: list[Rung]) -> tuple[float, float] | None:
    """By how much more of the row's pictures are right than of the dense model's in the same time, and the standard error.

    Both draw the same prompts from the same noise, so the difference is taken picture by picture.
    """
    dense = between(rungs, duration(record, times))
    if dense is None or "right" not in record:
        return None
    difference = right_of(record) - dense
    return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)
