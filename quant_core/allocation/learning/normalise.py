"""Inputs and rewards of unit size while an agent trains: SB3's VecNormalize with one mean and variance a column.

VecNormalize keeps statistics a cell of the observation, so the 3rd name would have others than the 4th, and a policy
would fit its training's list of names only. Here a column of the names' rows has one mean and variance over all names
that may be traded or are held; rows of other names are 0. Statistics run while training and are frozen with the policy.

    x -> clip((x - mean) / standard deviation, -10, 10);   reward -> reward / standard deviation of its discounted sum
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from quant_core.allocation.learning.baseline import Share
from quant_core.allocation.learning.policy import CLIP, Scaling, scale_of
from quant_core.dense import Floats
from quant_core.errors import DataError

Seen = dict[str, NDArray[np.float32]]
KEYS = ("assets", "market")


class NameSharedNormalize(VecNormalize):
    """Normalises "assets" (E, N, F) by column over names, "market" (E, M) by column, and rewards.

    Args:
        gamma: of the discounted sums by which rewards are scaled.
        market_growth: (D,) by decision, taken out of rewards first, see `baseline`; None leaves them as they are.
    Raises:
        DataError: a reward that is no number.
    """

    obs_rms: dict[str, RunningMeanStd]
    old_obs: Seen

    def __init__(self, venv: VecEnv, gamma: float, market_growth: Floats | None = None) -> None:
        super().__init__(venv, gamma=gamma, norm_obs_keys=list(KEYS), clip_obs=CLIP)
        space = self.observation_space
        assert isinstance(space, spaces.Dict)
        widths = {key: (space[key].shape or (0,))[-1] for key in KEYS}
        self.obs_rms = {key: RunningMeanStd(epsilon=0.0, shape=(width,)) for key, width in widths.items()}
        self._growth, self._share = market_growth, Share()
        self._earned, self._steps = 0.0, 0
        self._refresh()

    def step_wait(self) -> VecEnvStepReturn:
        seen, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(seen, dict)
        _check(rewards)
        self._earned, self._steps = self._earned + float(rewards.mean()), self._steps + 1
        rewards = self._without_market(rewards)
        self.old_obs, self.old_reward = seen, rewards
        if self.training:
            self._learn(seen)
            self._update_reward(rewards)
        for number in np.flatnonzero(dones):
            if "terminal_observation" in infos[number]:
                infos[number]["terminal_observation"] = self.normalize_obs(infos[number]["terminal_observation"])
        self.returns[dones] = 0.0
        return self.normalize_obs(seen), self.normalize_reward(rewards), dones, infos

    def reset(self) -> Seen:
        seen = self.venv.reset()
        assert isinstance(seen, dict)
        self.old_obs, self.returns = seen, np.zeros(self.num_envs)
        if self.training:
            self._learn(seen)
        return self.normalize_obs(seen)

    def normalize_obs(self, obs: Any) -> Seen:
        return self.scaling.applied(obs)

    def unnormalize_obs(self, obs: Any) -> Seen:
        return self.scaling.undone(obs)

    def get_original_obs(self) -> Seen:
        return {key: value.copy() for key, value in self.old_obs.items()}

    def mean_reward(self) -> float:
        """Of a decision, as the environment gave it, since this was asked last."""
        mean = self._earned / max(self._steps, 1)
        self._earned, self._steps = 0.0, 0
        return mean

    def state(self) -> dict[str, Floats]:
        """Everything that a training goes on from, by name."""
        running = {**self.obs_rms, "reward": self.ret_rms}
        found = {
            f"{key}.{part}": np.asarray(getattr(of, part), dtype=np.float64)
            for key, of in running.items()
            for part in ("mean", "var", "count")
        }
        return found | {"share": self._share.moments}

    def restore(self, state: dict[str, Floats]) -> None:
        """Put the statistics where `state` found them."""
        for key, of in {**self.obs_rms, "reward": self.ret_rms}.items():
            of.mean, of.var = state[f"{key}.mean"].copy(), state[f"{key}.var"].copy()
            of.count = float(state[f"{key}.count"])
        self._share.moments = state["share"].copy()
        self._refresh()

    def _without_market(self, rewards: Floats) -> Floats:
        """Rewards without the part that `baseline` explains."""
        if self._growth is None:
            return rewards
        growth = self._growth[self.venv.last.decision]  # type: ignore[attr-defined]
        if self.training:
            self._share.learn(growth, rewards.astype(np.float64))
        found: Floats = rewards - self._share.beta * growth
        return found

    def _learn(self, seen: Seen) -> None:
        rows = seen["assets"][seen["mask"] > 0.0]
        for key, values in (("assets", rows), ("market", seen["market"])):
            if len(values):
                self.obs_rms[key].update(values.astype(np.float64))
        self._refresh()

    def _refresh(self) -> None:
        names, market = self.obs_rms["assets"], self.obs_rms["market"]
        self.scaling = Scaling(names.mean, scale_of(names.var), market.mean, scale_of(market.var))


def _check(rewards: NDArray[Any]) -> None:
    bad = np.flatnonzero(~np.isfinite(rewards))
    if len(bad):
        raise DataError(
            f"training: the reward of episode {bad[0]} is {rewards[bad[0]]}, wanted a finite number; look for a return "
            "or a reward setting that is none. The last checkpoint is kept."
        )
