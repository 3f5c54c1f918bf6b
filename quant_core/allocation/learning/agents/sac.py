"""Soft actor-critic: learns from a store of past decisions what an action is worth, and acts as randomly as pays.

Source: Haarnoja et al. (2018), Soft Actor-Critic Algorithms and Applications; Stable-Baselines3's implementation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quant_core.allocation.learning.agent import AgentConfig, agent
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.fitted import Fitted, Log

if TYPE_CHECKING:
    from stable_baselines3 import SAC
    from stable_baselines3.common.vec_env import VecEnv

    from quant_core.allocation.learning.networks import Shape
    from quant_core.allocation.learning.stage import Stage


@dataclass(frozen=True)
class SACConfig(EnvConfig, AgentConfig):
    """How SAC is trained.

    Args:
        buffer_size: decisions remembered; each takes twice an observation, 8 N F bytes.
        batch_size: decisions of a gradient step.
        tau: share of the critics that their targets take over in a step.
        gamma: discount of a reward one decision later.
        train_freq: decisions of every episode between gradient steps.
        gradient_steps: of each time.
        learning_starts: decisions before the first gradient step, drawn alike from all actions.
        entropy_start: weight of the entropy at the beginning; it is learned.
        target_entropy: that it is learned towards, of each number of an action: a Gaussian of standard deviation s has
            1.42 + log s, so -1 means about 0.09.
    """

    learning_rate: float = 3e-4
    buffer_size: int = 100_000
    batch_size: int = 256
    tau: float = 0.005
    gamma: float = 0.99
    train_freq: int = 1
    gradient_steps: int = 1
    learning_starts: int = 1_000
    entropy_start: float = 0.05
    target_entropy: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        for name in ("learning_rate", "entropy_start"):
            self.require(name, getattr(self, name) > 0.0, "a positive number")
        for name in ("buffer_size", "batch_size", "train_freq", "gradient_steps", "learning_starts"):
            self.require(name, getattr(self, name) >= 1, "1 or more")
        self.require("gamma", 0.0 <= self.gamma < 1.0, "0 or more and below 1")
        self.require("tau", 0.0 < self.tau <= 1.0, "a share above 0")


@agent("sac", SACConfig)
def train_sac(train: "Stage", validation: "Stage", config: SACConfig, log: Log) -> Fitted:
    """Soft actor-critic: off-policy, from remembered decisions; frugal with steps, dear by the step."""
    from quant_core.allocation.learning.training import Learner, fit

    learner = Learner(
        make=make_sac,
        optimisers=lambda model: {
            "actor": model.actor.optimizer,
            "critic": model.critic.optimizer,
            "entropy": model.ent_coef_optimizer,
        },
        actor=lambda model: model.policy.actor.actor,
        n_outputs=2,
        is_squashed=True,
        steps_multiple=config.n_envs * config.train_freq,
    )
    return fit("sac", learner, train, validation, config, log)


def make_sac(env: "VecEnv", shape: "Shape", config: SACConfig, seed: int) -> "SAC":
    """SB3's SAC on networks of that shape."""
    from stable_baselines3 import SAC

    from quant_core.allocation.learning.soft_actor import NameSharedSoftPolicy

    kwargs: dict[str, Any] = {"shape": shape, "log_std_start": config.log_std_start}
    return SAC(
        NameSharedSoftPolicy, env, learning_rate=config.learning_rate, buffer_size=config.buffer_size,
        learning_starts=config.learning_starts, batch_size=config.batch_size, tau=config.tau, gamma=config.gamma,
        train_freq=config.train_freq, gradient_steps=config.gradient_steps, ent_coef=f"auto_{config.entropy_start}",
        target_entropy=config.target_entropy, policy_kwargs=kwargs, seed=seed, device=config.device,
    )  # fmt: skip
