"""Muon for matrices and convolutions, and the pair (Muon, AdamW) that trains every network here.

Muon (Keller Jordan, 2024) replaces each momentum matrix by the nearest orthogonal one, so that rare directions (a shape seen
in one picture out of twenty) are learnt as fast as common ones; here it needs several times fewer steps than AdamW alone.
"""

import torch
from torch import nn

from .precision import bf16_is_fast


def orthogonalise(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Moves all singular values of [M, N] close to 1: Newton–Schulz with the quintic that climbs fastest from 0."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).to(torch.bfloat16 if bf16_is_fast() else torch.float32)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` that also takes convolutions, as [out, in·kh·kw]."""

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                velocity = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(velocity, group["momentum"]).flatten(1)  # Nesterov
                # 0.2·√max gives the update the size AdamW's would have, so their learning rates compare.
                scale = 0.2 * max(ahead.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(orthogonalise(ahead).view_as(parameter), alpha=-group["lr"] * scale)


class MuonAndAdamW:
    """Muon for `matrices` if there are any, AdamW for all other parameters of `module`; one clip, one step, one state."""

    def __init__(self, module: nn.Module, matrices: list[nn.Parameter], muon_lr: float, adamw_lr: float, weight_decay: float = 0.01):
        taken = {id(parameter) for parameter in matrices}
        rest = [p for p in module.parameters() if id(p) not in taken]
        self.module = module
        self.base = (muon_lr, adamw_lr) if matrices else (adamw_lr,)
        adamw = torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=weight_decay)
        self.parts = (Muon(matrices, lr=muon_lr, weight_decay=weight_decay), adamw) if matrices else (adamw,)

    def step(self, rate: float) -> None:
        """One update with both learning rates multiplied by `rate`, then the gradients are cleared."""
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        for part, lr in zip(self.parts, self.base):
            for group in part.param_groups:
                group["lr"] = lr * rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list) -> None:
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)


def trapezoid(progress: float, step: int, warm_up: int) -> float:
    """Learning rate factor: up over `warm_up` steps, flat, and straight down to zero in the second half of the run.

    Short runs gain by staying high: with a cosine the shapes of things had not settled when the rate was half gone.
    """
    return min((step + 1) / warm_up, 1.0, 2 * (1 - progress))
