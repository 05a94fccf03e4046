"""What is said of kept tokens is what was kept."""

import torch

from training.diffcr import BINS, Settings, route, save_folder
from training.measure_routing import auc, measure, parts_of

from .tiny import network, scenes


def test_parts_and_auc():
    parts = parts_of(torch.tensor([[0.0, 0.2, 0.9, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    assert parts.tolist() == [[2, 1, 0, 0], [2, 2, 2, 2]]
    assert auc(torch.tensor([[0.5, 9.0, 0.4, 0.6], [0.0] * 4]), parts)[0] == 0.5
    assert auc(torch.tensor([[0.5, 9.0, 0.5, 0.6], [0.0] * 4]), parts)[0] == 0.75
    assert auc(torch.zeros(2, 4), parts)[1].isnan()


def test_a_router_that_sees_the_thing_keeps_it(tmp_path):
    """Things are where the first latent channel is high, and the routers read the embedding of just that."""
    transformer = network(2)
    for block in route(transformer).transformer_blocks:
        block.scale_shift_table.data.zero_()
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter.data.mul_(0.02)
    reading = transformer.pos_embed.proj.weight.data[:, 0].sum((1, 2))  # what a patch of ones in that channel adds to a token
    for block in transformer.transformer_blocks:
        block.router.weight.data.copy_(reading[None] / reading.norm() ** 2)
    save_folder(transformer, Settings("mlp", list(BINS), [[0.5, 0.5]], 1000), "assets/scenes", tmp_path / "model", torch.float32)

    scenes(tmp_path, slice(0, 1), 50.0)
    row = measure(tmp_path / "model", tmp_path, 1, None, "diffcr")
    assert row["kept"]["thing"] > 0.9 and row["kept"]["background"] < 0.5 and row["AUC"] > 0.9
    assert abs(sum(row["tokens by layers computed in"]["background"]) - 1) < 1e-3
    kept = row["kept"]["thing"] * 9 + row["kept"]["background"] * 55
    assert abs(kept / 64 - 0.5) < 1e-3
