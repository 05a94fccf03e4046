"""What the classifier says of a set of pictures."""

from dataclasses import dataclass

import numpy as np
import torch

from .classifier import HEADS, Classifier, look
from .frechet import distance, gaussian, spread


@dataclass
class Accuracy:
    """`right` [N, 4]: object, colour, place, all three, each picture by picture."""

    right: np.ndarray

    def accuracy(self) -> np.ndarray:
        return self.right.mean(0)

    def error(self) -> np.ndarray:
        """Standard errors of the accuracies."""
        return np.sqrt(self.right.var(0) / len(self.right))

    def against(self, other: "Accuracy") -> tuple[float, float]:
        """Difference of "all three" to another row's and its standard error: same prompts, same noise, so picture by picture."""
        gain = self.right[:, 3].astype(float) - other.right[:, 3]
        return gain.mean(), gain.std() / len(gain) ** 0.5


@dataclass
class Quality(Accuracy):
    """With the Fréchet distance and its standard error."""

    fd: float
    fd_error: float


def to_torch(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [N, S, S, 3] → float [N, 3, S, S] in −1…1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def features(model: Classifier, pictures: np.ndarray) -> np.ndarray:
    return look(model, to_torch(pictures))[0].double().numpy()


def judge(model: Classifier, pictures: np.ndarray, wanted: dict[str, list[int]], real) -> Quality:
    """`real`: mean and covariance of real scenes' features."""
    seen_features, seen = look(model, to_torch(pictures))
    right = np.stack([seen[name].numpy() == np.array(wanted[name][: len(pictures)]) for name in HEADS], 1)
    points = seen_features.double().numpy()
    right = np.concatenate([right, right.all(1, keepdims=True)], 1)
    return Quality(right, distance(gaussian(points), real), spread(points, real))
