"""How fast PPO learns on the lab's networks, beside the usual set-up: a perceptron over the flattened observation.

    python benchmarks/learning_speed.py [--steps 4096] [--batch 64]

50 names. "flattened" is SB3's own: DummyVecEnv, MlpPolicy [256, 256] tanh, every name's 128 embedding channels in one
vector beside the account (6,508 numbers). Its environment is the lab's single one, faster than those it usually comes
with. "shared" is the lab's agent as it is meant to be used: the embedding compressed to 4 channels, 8 episodes side by
side, one network for all names, normalised inputs. "shared, all channels" sees the 128 channels too, and "flattened, 4
channels" the compressed ones, to tell the parts apart. Rollout, batch and epochs are equal. Decisions a second of CPU
time in one thread, rollouts and updates together.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from quant_core import calendar
from quant_core.allocation.learning.agents.ppo import PPOConfig, make_ppo
from quant_core.allocation.learning.baseline import equal_weight_growth
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.networks import Shape
from quant_core.allocation.learning.normalise import NameSharedNormalize
from quant_core.allocation.learning.stage import Stage
from quant_core.allocation.learning.vector import VectorPortfolioEnv
from quant_core.trading.costs import FlatCosts
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules

SEED, SESSIONS, NAMES, ALL_CHANNELS, CHANNELS = 7, 1_000, 50, 128, 4
GOAL = 5.0


def make_stage(channels: int) -> Stage:
    rng = np.random.default_rng(SEED)
    shape = (SESSIONS, NAMES)
    days = calendar.sessions(calendar.FIRST_DAY, calendar.LAST_DAY)[:SESSIONS]
    return Stage(
        sessions=days,
        tickers=[f"S{k:02d}" for k in range(NAMES)],
        market=Market(rng.normal(0.0, 0.01, shape), rng.normal(0.0, 0.01, shape), np.ones(shape, bool)),
        costs=FlatCosts().schedule(days),
        rules=Rules(),
        capital_inr=1e7,
        decisions=np.arange(SESSIONS),
        eligible=np.ones(shape, bool),
        asset_inputs=rng.normal(size=(*shape, channels)).astype(np.float32),
        asset_names=tuple(f"embedding.{k}" for k in range(channels)),
        market_inputs=rng.normal(size=(SESSIONS, 5)).astype(np.float32),
        market_names=tuple(f"market.{k}" for k in range(5)),
    )


def flattened(stage: Stage, config: PPOConfig) -> PPO:
    env = DummyVecEnv([lambda: gymnasium.wrappers.FlattenObservation(PortfolioEnv(stage, config))])
    layers: dict[str, Any] = {"net_arch": [256, 256], "activation_fn": torch.nn.Tanh}
    return PPO(
        "MlpPolicy", env, n_steps=config.n_steps, batch_size=config.batch_size, n_epochs=config.n_epochs,
        policy_kwargs=layers, seed=SEED, device="cpu",
    )  # fmt: skip


def shared(stage: Stage, config: PPOConfig) -> PPO:
    venv = VectorPortfolioEnv(stage, config, config.n_envs, SEED)
    env = NameSharedNormalize(venv, config.gamma, equal_weight_growth(stage))
    shape = Shape("shared", len(venv.asset_columns), len(venv.market_columns), NAMES, True, config.sizes)
    return make_ppo(env, shape, config, SEED)


def speed(make: Callable[[Stage, PPOConfig], PPO], channels: int, config: PPOConfig, steps: int) -> float:
    """Decisions a second of CPU time, after a first rollout."""
    model = make(make_stage(channels), config)
    model.set_logger(Logger(folder=None, output_formats=[]))
    model.learn(config.n_steps)
    started = time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    return steps / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_024)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = PPOConfig(n_steps=1_024, batch_size=options.batch, n_envs=8)
    print(f"load {os.getloadavg()[0]:.1f}, batch {options.batch}, {config.n_epochs} epochs, decisions a CPU second")
    found = {}
    for name, make, channels in (
        ("flattened", flattened, ALL_CHANNELS),
        ("flattened, 4 channels", flattened, CHANNELS),
        ("shared", shared, CHANNELS),
        ("shared, all channels", shared, ALL_CHANNELS),
    ):
        found[name] = speed(make, channels, config, options.steps)
        print(f"{name:24}{found[name]:8.0f}", flush=True)
    print(f"shared over flattened {found['shared'] / found['flattened']:.1f}x, wanted {GOAL:.0f}x")


if __name__ == "__main__":
    main()
