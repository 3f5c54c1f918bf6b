"""The smallest market that teaches an agent: what each name will earn stands in its row, in noise's company."""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv


class ToyMarket(VecEnv):
    """Weights are the softmax of 3 x the names' actions over the names that may be bought; no costs, no memory.

    Args:
        size: of the return that is shown beforehand.
        n_closed: names at the end that may never be bought.
    """

    def __init__(self, n_envs: int, n_names: int = 4, size: float = 1.0, n_closed: int = 0) -> None:
        seen = {
            "assets": spaces.Box(-np.inf, np.inf, (n_names, 2), np.float32),
            "market": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "mask": spaces.Box(0.0, 1.0, (n_names,), np.float32),
        }
        super().__init__(n_envs, spaces.Dict(seen), spaces.Box(-1.0, 1.0, (n_names + 1,), np.float32))
        self.size, self.n_names, self.length = size, n_names, 8
        self.mask = np.ones((n_envs, n_names), np.float32)
        self.mask[:, n_names - n_closed :] = 0.0
        self.rng = np.random.default_rng(0)
        self.broken_at: int | None = None
        self.steps = 0

    def seed(self, seed: int | None = None) -> list[int | None]:
        self.rng = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> dict[str, np.ndarray]:
        self.day = 0
        return self._seen()

    def _seen(self) -> dict[str, np.ndarray]:
        shape = (self.num_envs, self.n_names)
        self.future = self.rng.standard_normal(shape)
        rows = np.stack([0.01 * self.future, self.rng.standard_normal(shape)], axis=-1)
        return {
            "assets": rows.astype(np.float32),
            "market": np.full((self.num_envs, 1), 5.0, np.float32),
            "mask": self.mask,
        }

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        force = np.exp(3.0 * self.actions[:, :-1]) * self.mask
        weights = force / force.sum(axis=1, keepdims=True)
        reward = self.size * (weights * self.future).sum(axis=1) + 0.1 * self.rng.standard_normal(self.num_envs)
        self.steps += 1
        if self.steps == self.broken_at:
            reward[1] = np.nan
        self.day += 1
        seen = self._seen()
        over = self.day == self.length
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over:
            infos = [
                {"TimeLimit.truncated": True, "terminal_observation": {key: value[k] for key, value in seen.items()}}
                for k in range(self.num_envs)
            ]
            seen = self.reset()
        return seen, reward, np.full(self.num_envs, over), infos

    def close(self) -> None: ...
    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs
