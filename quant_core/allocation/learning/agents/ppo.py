"""Proximal policy optimisation: rollouts of the current policy, then a few clipped epochs over each of them.

Source: Schulman et al. (2017), Proximal Policy Optimization Algorithms; Stable-Baselines3's implementation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quant_core.allocation.learning.agent import AgentConfig, agent
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.fitted import Fitted, Log

if TYPE_CHECKING:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv

    from quant_core.allocation.learning.networks import Shape
    from quant_core.allocation.learning.stage import Stage


@dataclass(frozen=True)
class PPOConfig(EnvConfig, AgentConfig):
    """How PPO is trained.

    Args:
        n_steps: decisions of a rollout, over all episodes that run at once.
        batch_size: decisions of a gradient step.
        n_epochs: passes over a rollout.
        gamma: discount of a reward one decision later.
        gae_lambda: 0 trusts the value network, 1 the rewards alone.
        clip_range: most that a likelihood ratio may gain from.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value loss.
        max_grad_norm: of all gradients together.
    """

    learning_rate: float = 3e-4
    n_steps: int = 2048
    batch_size: int = 64
    n_epochs: int = 10
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        self.require("learning_rate", self.learning_rate > 0.0, "a positive number")
        self.require("gamma", 0.0 <= self.gamma < 1.0, "0 or more and below 1")
        self.require("batch_size", 2 <= self.batch_size <= self.n_steps, "2 to n_steps")
        self.require("n_steps", self.n_steps % self.n_envs == 0, f"a multiple of n_envs {self.n_envs}")


@agent("ppo", PPOConfig)
def train_ppo(train: "Stage", validation: "Stage", config: PPOConfig, log: Log) -> Fitted:
    """Proximal policy optimisation: on-policy, clipped; robust, and hungry for steps."""
    from quant_core.allocation.learning.training import Learner, fit

    learner = Learner(
        make=make_ppo,
        optimisers=lambda model: {"policy": model.policy.optimizer},
        actor=lambda model: model.policy.actor,
        n_outputs=1,
        is_squashed=False,
        steps_multiple=config.n_steps,
    )
    return fit("ppo", learner, train, validation, config, log)


def make_ppo(env: "VecEnv", shape: "Shape", config: PPOConfig, seed: int) -> "PPO":
    """SB3's PPO on networks of that shape."""
    from stable_baselines3 import PPO

    from quant_core.allocation.learning.actor_critic import NameSharedActorCritic

    kwargs: dict[str, Any] = {"shape": shape, "log_std_start": config.log_std_start}
    return PPO(
        NameSharedActorCritic, env, learning_rate=config.learning_rate, n_steps=config.n_steps // config.n_envs,
        batch_size=config.batch_size, n_epochs=config.n_epochs, gamma=config.gamma, gae_lambda=config.gae_lambda,
        clip_range=config.clip_range, ent_coef=config.ent_coef, vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm, policy_kwargs=kwargs, seed=seed, device=config.device,
    )  # fmt: skip
