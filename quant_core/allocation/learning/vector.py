"""Many episodes side by side as stable-baselines3 wants them: one compiled call steps them all.

Episode e begins and goes on as a `PortfolioEnv` that was reset with the seed `seed + e`, to the last bit. One that is
over begins anew at once; its last observation is in its info, as stable-baselines3 asks for it. Infos are empty
otherwise: what a step earned is in `last`, for all episodes at once.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.vec_env import VecEnv

from quant_core.allocation.learning import episode_loop as loop
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import Observation, action_space, observation_space
from quant_core.allocation.learning.episodes import Episodes, OnStage
from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Floats
from quant_core.errors import DataError

Stepped = tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


SHEETS = 3  # the newest observation, the one before it, and the next


class Last(NamedTuple):
    """What the newest step of each episode did; one that began anew is told as it ended."""

    simple_return: Floats  # (E,) net of costs
    cost: Floats  # (E,) rupees
    turnover: Floats  # (E,) one-way
    equity: Floats  # (E,) rupees
    weights: Floats  # (E, N) wanted, NaN for a name that is kept
    decision: NDArray[np.int64]  # (E,) row of the stage's decisions that they were decided at


class _Sheets:
    """Observations to hand out, written on again once nobody holds one any more.

    New arrays of this size come from the system page by page, which costs some per cent of a step. Who keeps an
    observation, or a view of it, keeps its sheet, and others are made.
    """

    def __init__(self, episodes: Episodes) -> None:
        self._new = episodes.sheet
        self._sheets = [episodes.sheet() for _ in range(SHEETS)]
        self._alone = _references(self._sheets[0])  # of a sheet that nobody holds

    def free(self) -> loop.Seen:
        """A sheet that nobody holds."""
        for sheet in self._sheets:
            if _references(sheet) == self._alone:
                return sheet
        return self._new()


def _references(sheet: loop.Seen) -> tuple[int, ...]:
    return tuple(sys.getrefcount(sheet[k]) for k in range(len(sheet)))


class VectorPortfolioEnv(OnStage, VecEnv):
    """E episodes on a stage.

    Args:
        stage: what is traded and known.
        config: settings.
        n_envs: E.
        seed: episode e draws its starts from seed + e.
        start: decision at which all episodes begin; None for random ones.
    Raises:
        DataError: as `Episodes`, or a start outside the stage.
    """

    last: Last

    def __init__(
        self,
        stage: Stage,
        config: EnvConfig | None = None,
        n_envs: int = 8,
        seed: int | None = None,
        start: int | None = None,
    ) -> None:
        self._episodes = Episodes(stage, config or EnvConfig(), n_envs)
        self.render_mode = None
        super().__init__(n_envs, observation_space(self._episodes), action_space(self._episodes))
        self._start, self._sheets = start, _Sheets(self._episodes)
        self._rewards, self._lengths = np.zeros(n_envs), np.zeros(n_envs, np.int64)
        self.seed(seed)
        self._random = [np_random(each)[0] for each in self._seeds]

    def reset(self) -> Observation:
        """Begin all episodes; after `seed`, everything that follows is a function of it."""
        self._random = [
            own if seed is None else np_random(seed)[0] for own, seed in zip(self._random, self._seeds, strict=True)
        ]
        self._reset_seeds()
        seen = self._sheets.free()
        for e in range(self.num_envs):
            self._begin(seen, e)
        self._rewards[:], self._lengths[:] = 0.0, 0
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return seen._asdict()

    def step_async(self, actions: NDArray[Any]) -> None:
        if np.shape(actions) != self._episodes.actions.shape:
            raise DataError(
                f"environment: actions have shape {np.shape(actions)}; wanted {self._episodes.actions.shape} in mode "
                f"{self._episodes.config.mode!r}; use a policy of this stage."
            )
        self._episodes.actions[:] = actions

    def step_wait(self) -> Stepped:
        """Step all episodes.

        Raises:
            DataError: an action or a reward that is not finite.
        """
        return self._stepped(by_action=True)

    def step_weights(self, weights: ArrayLike) -> Stepped:
        """As `step`, deciding (E, N) weights instead of what actions mean; NaN for a name that is kept.

        Raises:
            DataError: weights that no account could hold; as `step_wait`.
        """
        self._episodes.give(weights)
        return self._stepped(by_action=False)

    def weights_of(self, actions: ArrayLike) -> Floats:
        """(E, N) weights that actions would want where the episodes stand, NaN for a name kept; nothing is stepped."""
        self.step_async(np.asarray(actions))
        self._episodes.want()
        return self._episodes.state.wanted.copy()

    def _stepped(self, by_action: bool) -> Stepped:
        state, seen = self._episodes.state, self._sheets.free()
        decided = state.place[:, loop.DECISION].copy()
        self._episodes.step(seen, by_action)
        self.last = self._told(decided)
        rewards = state.figures[:, loop.REWARD].copy()
        self._rewards += rewards
        self._lengths += 1
        done = state.place[:, loop.ENDS] != loop.RUNS
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for e in np.flatnonzero(done):
            infos[e] = self._ended(seen, int(e))
            self._begin(seen, int(e))
        return seen._asdict(), rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise DataError(f"environment: {attr_name} cannot be set; build another environment.")

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        raise DataError(f"environment: episodes have no method {method_name} of their own.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))

    def _begin(self, seen: loop.Seen, e: int) -> None:
        self._episodes.begin(seen, e, self._episodes.start(self._random[e], self._start))

    def _told(self, decided: NDArray[np.int64]) -> Last:
        figures, wanted = self._episodes.state.figures, self._episodes.state.wanted
        return Last(
            simple_return=figures[:, loop.STEP_RETURN].copy(),
            cost=figures[:, loop.STEP_COST].copy(),
            turnover=figures[:, loop.STEP_TURNOVER].copy(),
            equity=figures[:, loop.EQUITY].copy(),
            weights=wanted.copy(),
            decision=decided,
        )

    def _ended(self, seen: loop.Seen, e: int) -> dict[str, Any]:
        """What stable-baselines3 reads of an episode that is over, and its reward and length."""
        truncated = bool(self._episodes.state.place[e, loop.ENDS] == loop.TRUNCATED)
        told = {"r": float(self._rewards[e]), "l": int(self._lengths[e]), "t": 0.0}
        self._rewards[e], self._lengths[e] = 0.0, 0
        last = {name: array[e].copy() for name, array in seen._asdict().items()}
        return {"terminal_observation": last, "TimeLimit.truncated": truncated, "episode": told}
