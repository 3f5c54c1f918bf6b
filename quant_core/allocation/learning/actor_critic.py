"""PPO's policy as SB3 wants it, on networks for any number of names: none of its parameters depends on that number.

The action is a Gaussian around the actor's numbers, with one log standard deviation for every name's number and one for
the whole's. Numbers of names that cannot be traded do nothing, and count neither in the likelihood nor the entropy.
"""

import math
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from quant_core.allocation.learning.networks import ACTORS, VALUES, Observation, Shape, acting, begin, heads_of

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class NameSharedActorCritic(ActorCriticPolicy):
    """Actor, value and two log standard deviations.

    Args:
        shape: of both networks, which share no weights.
        log_std_start: of the exploration at the beginning.
    """

    def __init__(self, *spaces: Any, shape: Shape, log_std_start: float, **settings: Any) -> None:
        self.shape = shape
        settings["log_std_init"] = log_std_start
        super().__init__(*spaces, **settings)

    def _build(self, lr_schedule: Schedule) -> None:
        """Called by SB3: the networks and their optimiser."""
        self.actor, self.value = ACTORS[self.shape.kind](self.shape), VALUES[self.shape.kind](self.shape)
        begin(self.actor, heads_of(self.actor), 0.0)
        begin(self.value, heads_of(self.value), 1.0)
        self.log_std = nn.Parameter(torch.full((2,), self.log_std_init))  # of a name's number, of the whole's
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def forward(self, obs: Observation, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Actions (B, A), values (B, 1), log likelihoods (B,)."""
        mean = self.actor(obs).squeeze(-1)
        log_std = self._log_std(mean)
        action = mean if deterministic else mean + log_std.exp() * torch.randn_like(mean)
        return action, self.value(obs), self._log_likelihood(obs, action, mean, log_std)

    def evaluate_actions(self, obs: Observation, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Values (B, 1), log likelihoods (B,) and entropies (B,) of the numbers that do anything."""
        mean = self.actor(obs).squeeze(-1)
        log_std = self._log_std(mean)
        entropy = ((0.5 + HALF_LOG_TAU + log_std) * acting(obs, self.shape.has_names)).sum(dim=1)
        return self.value(obs), self._log_likelihood(obs, actions, mean, log_std), entropy

    def predict_values(self, obs: Observation) -> Tensor:  # type: ignore[override]
        values: Tensor = self.value(obs)
        return values

    def _predict(self, observation: Observation, deterministic: bool = False) -> Tensor:  # type: ignore[override]
        return self.forward(observation, deterministic)[0]

    def _log_std(self, mean: Tensor) -> Tensor:
        """(A,) of each number of an action."""
        return torch.cat([self.log_std[:1].expand(mean.shape[1] - 1), self.log_std[1:]])

    def _log_likelihood(self, obs: Observation, action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        each = -0.5 * ((action - mean) / log_std.exp()).square() - log_std - HALF_LOG_TAU
        return (each * acting(obs, self.shape.has_names)).sum(dim=1)
