"""Kept ratios: how many tokens a layer computes at a timestep. A matrix [regions, L], noisiest region first."""

import math

import torch
from torch import nn

BINS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RATIO_WEIGHT = 0.3  # of the ratio loss, as published


def kept_tokens(ratio: float, tokens: int) -> int:
    return max(1, min(tokens, math.ceil(ratio * tokens - 1e-4)))  # 1e-4: rounding errors of a ratio add no token


def region(timestep: float, regions: int, train_timesteps: int) -> int:
    """Which of the equal parts of the schedule a timestep is in; 0 is the noisiest."""
    return max(0, min(regions - 1, math.floor((train_timesteps - 1 - timestep) * regions / train_timesteps)))


def snap(ratio: float, bins) -> float:
    """The nearest bin; of two equally near ones the larger."""
    nearest = min(abs(ratio - b) for b in bins)
    return max(b for b in bins if abs(ratio - b) <= nearest + 1e-9)


def neighbours(ratio: float, bins) -> tuple[float, float]:
    """The bins b1 < b2 with b1 ≤ ratio ≤ b2."""
    bins = sorted(bins)
    above = next((i for i, b in enumerate(bins) if b >= ratio and i > 0), len(bins) - 1)
    return bins[above - 1], bins[above]


def mean(matrix) -> float:
    values = [ratio for row in matrix for ratio in row]
    return sum(values) / len(values)


def rescale(matrix, bins, target: float) -> list[list[float]]:
    """All ratios times one factor, clamped and snapped, so that their mean comes as near to `target` as it can."""
    smallest = min(bins)
    scaled = lambda factor: [[snap(min(1.0, max(smallest, factor * ratio)), bins) for ratio in row] for row in matrix]
    low, high = 0.0, 1.0 / min(ratio for row in matrix for ratio in row)
    for _ in range(60):  # the mean only grows with the factor: bisect down to the jump around the target
        middle = (low + high) / 2
        low, high = (middle, high) if mean(scaled(middle)) < target else (low, middle)
    return min((scaled(high), scaled(low)), key=lambda candidate: abs(mean(candidate) - target))


class LearnedRatios(nn.Module):
    """One scalar per (region, layer), starting at 1: nothing compressed."""

    def __init__(self, regions: int, layers: int, bins=BINS):
        super().__init__()
        self.bins = tuple(bins)
        self.matrix = nn.Parameter(torch.ones(regions, layers))

    @torch.no_grad()
    def clamp(self) -> None:
        """After every update, so that the gradient at the ends is the one inside."""
        self.matrix.clamp_(min(self.bins), 1.0)

    def loss(self, row: int, target: float) -> torch.Tensor:
        """Pulls the mean kept ratio of one region towards `target`."""
        return (self.matrix[row].mean() - target) ** 2

    def tolist(self) -> list[list[float]]:
        return [[round(ratio, 6) for ratio in row] for row in self.matrix.tolist()]
