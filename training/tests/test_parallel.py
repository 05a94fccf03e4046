"""Two processes with half a batch each take the step that one takes with all of it."""

import os
import socket

import torch
from torch import multiprocessing, nn

from training.parallel import Team

BATCH = torch.arange(24.0).view(8, 3).sin()


def gradients(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    network(batch).square().mean().backward()
    return network.weight.grad


def one_of_two(rank: int, port: int, folder) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    team = Team()
    torch.manual_seed(0)
    network, part = nn.Linear(3, 2, bias=False), team.share(8)
    gradients(network, BATCH[rank * part : (rank + 1) * part])
    team.average_gradients(network)
    torch.save((network.weight.grad, team.agree(rank + 5.0)), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_halves_make_the_same_gradient(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(one_of_two, (port, tmp_path), nprocs=2)
    torch.manual_seed(0)
    alone = gradients(nn.Linear(3, 2, bias=False), BATCH)
    for rank in range(2):
        gradient, agreed = torch.load(tmp_path / f"{rank}.pt")
        assert torch.allclose(gradient, alone, atol=1e-6) and agreed == [5.0]


def test_a_process_alone_needs_nothing():
    team, network = Team(), nn.Linear(3, 2)
    team.average_gradients(network)
    assert team.first and team.share(7) == 7 and team.agree(0.5, 1.0) == [0.5, 1.0] and network.weight.grad is None
