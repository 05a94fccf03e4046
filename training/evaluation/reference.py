"""What rows are measured against: real scenes that nothing was trained on, and how near to them one can come."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from ..measure import HELD_OUT
from ..train_classifier import draw_scenes, of_one_thing, through
from .classifier import Classifier
from .frechet import gaussian
from .quality import features, judge

REAL = 5000


def real(model: Classifier, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of held-out scenes' features. One-thing scenes, as the prompts' are."""
    return gaussian(features(model, as_rows(draw_scenes(HELD_OUT, REAL, size, 1)[0])))


def floors(model: Classifier, against, vae: Path, count: int, size: int) -> list[dict]:
    """As many other real scenes, as drawn and through the autoencoder: no sample can be expected to do better."""
    pictures, wanted = of_one_thing(*draw_scenes(HELD_OUT + 1, count, size, 1))
    decoded = through(AutoencoderKL.from_pretrained(vae, dtype=torch.float32), pictures)
    judged = []
    for name, images in (("real scenes", pictures), ("real scenes through the autoencoder", decoded)):
        quality = judge(model, as_rows(images), {head: values.tolist() for head, values in wanted.items()}, against)
        judged.append({
            "name": name, "pictures": count, "fd": quality.fd, "fd_error": quality.fd_error,
            "accuracy": quality.accuracy().tolist(), "error": quality.error().tolist(),
        })  # fmt: skip
    return judged


def as_rows(pictures: torch.Tensor) -> np.ndarray:
    """uint8 [N, 3, S, S] → [N, S, S, 3]."""
    return pictures.permute(0, 2, 3, 1).numpy()
