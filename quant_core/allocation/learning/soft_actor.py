"""SAC's policy as SB3 wants it, on networks for any number of names: one actor shared by names, critics that pool them.

The action is tanh of a Gaussian. Its log likelihood is the *mean* over the numbers that do anything, not their sum:
then the target entropy is so much a number, whether 5 names may be traded on a day or 500, and one temperature fits
all days.
"""

import math
from typing import Any

import torch
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn
from torch.nn.functional import softplus

from quant_core.allocation.learning.networks import ACTORS, QUALITIES, Observation, Shape, acting, begin, heads_of

#: Limits of the log standard deviation; the upper one as in SB3, the lower one where tanh still has a density.
LOWEST, HIGHEST = -5.0, 2.0
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class SoftActor(nn.Module):
    """Mean and log standard deviation of every number of an action, and what is drawn from them."""

    optimizer: torch.optim.Optimizer

    def __init__(self, shape: Shape, log_std_start: float) -> None:
        super().__init__()
        self.actor, self.has_names = ACTORS[shape.kind](shape, n_outputs=2), shape.has_names
        self.log_std_start = log_std_start
        begin(self.actor, heads_of(self.actor), 0.0)

    def forward(self, obs: Observation, deterministic: bool = False) -> Tensor:
        """Actions (B, A) in (-1, 1)."""
        mean, log_std = self._parameters_of(obs)
        return torch.tanh(mean if deterministic else mean + log_std.exp() * torch.randn_like(mean))

    def action_log_prob(self, obs: Observation) -> tuple[Tensor, Tensor]:
        """Drawn actions (B, A), and the mean log likelihood (B,) of those of their numbers that do anything."""
        mean, log_std = self._parameters_of(obs)
        noise = torch.randn_like(mean)
        before = mean + log_std.exp() * noise
        # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which does not underflow
        squashed = 2.0 * (math.log(2.0) - before - softplus(-2.0 * before))
        each = -0.5 * noise.square() - log_std - HALF_LOG_TAU - squashed
        counted = acting(obs, self.has_names)
        return torch.tanh(before), (each * counted).sum(dim=1) / counted.sum(dim=1)

    def set_training_mode(self, mode: bool) -> None:
        self.train(mode)

    def _parameters_of(self, obs: Observation) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(obs).unbind(dim=-1)
        return mean, (log_std + self.log_std_start).clamp(LOWEST, HIGHEST)


class SoftCritics(nn.Module):
    """What an action is worth, said by two networks of which the lower one is believed."""

    optimizer: torch.optim.Optimizer

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.qualities = nn.ModuleList(QUALITIES[shape.kind](shape) for _ in range(2))
        for quality in self.qualities:
            begin(quality, heads_of(quality), 1.0)

    def forward(self, obs: Observation, actions: Tensor) -> tuple[Tensor, ...]:
        return tuple(quality(obs, actions) for quality in self.qualities)

    def set_training_mode(self, mode: bool) -> None:
        self.train(mode)


class NameSharedSoftPolicy(SACPolicy):
    """SB3's SAC policy with these networks."""

    def __init__(self, *spaces: Any, shape: Shape, log_std_start: float, **settings: Any) -> None:
        self.shape, self.log_std_start = shape, log_std_start
        super().__init__(*spaces, **settings)

    def make_actor(self, features_extractor: Any = None) -> SoftActor:  # type: ignore[override]
        return SoftActor(self.shape, self.log_std_start).to(self.device)

    def make_critic(self, features_extractor: Any = None) -> SoftCritics:  # type: ignore[override]
        return SoftCritics(self.shape).to(self.device)
