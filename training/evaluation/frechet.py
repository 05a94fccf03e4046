"""The Fréchet distance of two sets of features, taken as Gaussians: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2·(Σ₁Σ₂)^½).

Over the features of the scenes classifier it is named FD-scenes. It is no FID: that is this distance over an ImageNet network's
features of many thousand photographs, and no figure here compares with one.
"""

import numpy as np


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] → mean [D], covariance [D, D]."""
    return features.mean(0), np.cov(features, rowvar=False)


def distance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    (mean, covariance), (other_mean, other_covariance) = first, second
    root = square_root(covariance)
    # tr (Σ₁Σ₂)^½ = tr (Σ₁^½ Σ₂ Σ₁^½)^½, whose matrix is symmetric: real eigenvalues, none below 0 but by rounding.
    eigenvalues = np.linalg.eigvalsh(root @ other_covariance @ root)
    overlap = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap)


def square_root(symmetric: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def spread(features: np.ndarray, real: tuple[np.ndarray, np.ndarray], draws: int = 100, seed: int = 0) -> float:
    """Standard error of `distance` for this many pictures: its deviation over sets drawn from them with replacement."""
    rng = np.random.default_rng(seed)
    each = [distance(gaussian(features[rng.integers(len(features), size=len(features))]), real) for _ in range(draws)]
    return float(np.std(each, ddof=1))
