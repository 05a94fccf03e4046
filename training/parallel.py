"""Several processes, each with its share of a batch:  accelerate launch --num_processes 4 -m training.train_dit …

Whatever sets torch.distributed's environment variables will do: `accelerate launch` or `torchrun`, on one machine or many. Started
without, a process is alone and everything here does nothing.
"""

import os

import torch
from torch import distributed, nn


class Team:
    def __init__(self):
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        cuda = torch.cuda.is_available()
        self.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu"
        if self.count > 1:
            distributed.init_process_group("nccl" if cuda else "gloo")
            if cuda:
                torch.cuda.set_device(self.device)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def share(self, size: int) -> int:
        """This process's part of a batch."""
        if size % self.count:
            raise ValueError(f"a batch of {size} does not divide among {self.count} processes")
        return size // self.count

    def agree(self, *values: float) -> list[float]:
        """The first process's values: clocks differ, and all must take the same step."""
        if self.count == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(told, 0)
        return told.tolist()

    @torch.no_grad()
    def average_gradients(self, module: nn.Module) -> None:
        """One message for all gradients; those that are missing in a process count as zero there."""
        if self.count == 1:
            return
        parameters = list(module.parameters())
        parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([part.flatten() for part in parts])
        distributed.all_reduce(flat)
        flat /= self.count
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters])):
            parameter.grad = part.view_as(parameter)
