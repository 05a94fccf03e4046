"""The training objective: predict the clean latents from noisy ones; and the usual ones of published checkpoints.

The schedule is the sampler's own (models.scheduler): x_t = α_t·x + σ_t·ε with α² + σ² = 1. Scaled by 1/(α + σ) this is the
straight path (1 − τ)·x + τ·ε with τ = σ/(α + σ), which is where noise levels are drawn and errors weighed.
"""

import math

import torch
from diffusers import DPMSolverMultistepScheduler

SMALLEST_TAU = 0.05  # below it the weight 1/τ² stops growing, or nearly clean inputs would dominate
UNIFORM_SHARE = 0.2  # of the timesteps
MEAN_LOGIT = 0.6  # of τ, at 64 tokens: a little towards noise, where shapes are decided


def mean_logit(tokens: int) -> float:
    """More tokens show the same picture more often, so the same noise hides less of its shapes: a step towards noise for more of them.

    Half of what would hide as much as at 64 tokens, for there is more detail to learn as well.
    """
    return MEAN_LOGIT + 0.25 * math.log(tokens / 64)


class Objective:
    def __init__(self, scheduler: DPMSolverMultistepScheduler, mean_logit: float = MEAN_LOGIT, uniform: float = UNIFORM_SHARE):
        self.mean_logit, self.uniform = mean_logit, uniform
        cumulative = scheduler.alphas_cumprod  # [1000]
        self.alpha, self.sigma = cumulative.sqrt(), (1 - cumulative).sqrt()
        self.tau = self.sigma / (self.alpha + self.sigma)  # [1000], increasing

    def draw_timesteps(self, count: int) -> torch.Tensor:
        """Timesteps whose τ is logit-normal: mostly middle noise. Some are uniform, for the
        sampler starts at pure noise, which the logit-normal all but leaves out.
        """
        last = len(self.tau) - 1
        middle = torch.searchsorted(self.tau, torch.sigmoid(self.mean_logit + torch.randn(count))).clamp(max=last)
        return torch.where(torch.rand(count) < self.uniform, torch.randint(0, last + 1, (count,)), middle)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        column = lambda values: values[timesteps].view(-1, 1, 1, 1).to(latents.device)
        return column(self.alpha) * latents + column(self.sigma) * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """What the network should predict, of the shape of `latents` [B, C, h, w]."""
        return latents

    def apart(self, predicted: torch.Tensor, target: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """[B]: squared error of the velocity (x_t − x)/τ that a prediction implies on the straight path."""
        weight = self.tau[timesteps].clamp(min=SMALLEST_TAU).view(-1, 1, 1, 1).to(predicted.device) ** -2
        return (weight * (predicted - target) ** 2).mean((1, 2, 3))

    def losses(self, predicted: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return self.apart(predicted, self.target(latents, noise, timesteps), timesteps)

    def loss(self, predicted: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return self.losses(predicted, latents, noise, timesteps).mean()


class UniformObjective(Objective):
    """Plain squared error of the noise or the velocity, timesteps uniform: how such checkpoints were trained."""

    def __init__(self, scheduler):
        super().__init__(scheduler)
        self.kind = scheduler.config.prediction_type

    def draw_timesteps(self, count: int) -> torch.Tensor:
        return torch.randint(0, len(self.tau), (count,))

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        if self.kind != "v_prediction":
            return noise
        column = lambda values: values[timesteps].view(-1, 1, 1, 1).to(latents.device)
        return column(self.alpha) * noise - column(self.sigma) * latents

    def apart(self, predicted: torch.Tensor, target: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return (predicted - target).square().mean((1, 2, 3))


def objective_for(scheduler) -> Objective:
    """What a checkpoint's scheduler says its network predicts."""
    kinds = {"sample": Objective, "epsilon": UniformObjective, "v_prediction": UniformObjective}
    kind = scheduler.config.get("prediction_type")
    if kind not in kinds or not hasattr(scheduler, "alphas_cumprod"):
        raise ValueError(f"cannot train for {type(scheduler).__name__} with prediction_type {kind!r}; known: {', '.join(kinds)}")
    return kinds[kind](scheduler)
