"""`random/`: the numbers torch's CPU generator draws, for the seeds and sizes where its two paths differ.

Below 16 elements torch draws scalars in double and keeps the second normal of a pair for the next scalar draw, even across
calls; from 16 elements on it fills blocks of 16 in float. Successive draws from one generator show what carries over.
"""

from pathlib import Path

import torch

from . import store

SEEDS = [0, 1, 42, 2**32 + 5, 2**63 - 1]
SIZES = [1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 1000]
SEQUENCES = [
    [1, 1],
    [1, 2],
    [2, 1, 1],
    [5, 3, 2],
    [3, 16],
    [16, 3],
    [5, 100, 5],
    [17, 17],
    [15, 15, 33],
    [33, 1, 16, 1],
    [1, 1000, 1],
    [512, 512],
]


def draw(seed: int, sizes: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator("cpu").manual_seed(seed)
    return [torch.randn(size, generator=generator) for size in sizes]


def write(out: Path) -> None:
    cases, tensors = [], {}
    for seed in SEEDS:
        for sizes in [[size] for size in SIZES] + SEQUENCES:
            name = f"{seed}/" + "_".join(map(str, sizes))
            names = [f"{name}/{index}" for index in range(len(sizes))]
            tensors.update(zip(names, draw(seed, sizes)))
            cases.append({"seed": str(seed), "sizes": sizes, "draws": names})
    # The shapes pipelines draw: a shape only says how many numbers, they fill it in row order.
    shaped = torch.randn((2, 4, 4, 6), generator=torch.Generator("cpu").manual_seed(42))
    tensors["42/2x4x4x6/0"] = shaped
    cases.append({"seed": "42", "sizes": [192], "draws": ["42/2x4x4x6/0"]})
    store.tensors(out / "draws.safetensors", tensors)
    # Seeds are strings: 2⁶³ − 1 is no exact number in many JSON readers.
    store.document(out / "cases.json", cases)
