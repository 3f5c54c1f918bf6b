"""One account as a Gymnasium environment: an agent decides, the account goes to the next decision.

An observation is what is known at the close of a decision: "assets" (N, F + 2), the stage's columns of each name, its
drifted weight and whether it may be bought; "market" (M + 3,), the stage's columns of the market, share of cash,
drawdown, turnover over what was allowed so far; "mask" (N,), 1 for a name that may be bought or is held. What an action
means is told in `actions`, what is rewarded in `reward`. The account is the backtest's, session by session.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from quant_core.allocation.learning import episode_loop as loop
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.episodes import Episodes, OnStage
from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Floats
from quant_core.errors import DataError

Observation = dict[str, NDArray[np.float32]]


def observation_space(episodes: Episodes) -> Any:
    """Of one episode."""
    seen = episodes.sheet()
    return spaces.Dict(
        {
            "assets": spaces.Box(-np.inf, np.inf, seen.assets.shape[1:], np.float32),
            "market": spaces.Box(-np.inf, np.inf, seen.market.shape[1:], np.float32),
            "mask": spaces.Box(0.0, 1.0, seen.mask.shape[1:], np.float32),
        }
    )


def action_space(episodes: Episodes) -> Any:
    """Of one episode."""
    return spaces.Box(-1.0, 1.0, episodes.actions.shape[1:], np.float32)


class PortfolioEnv(OnStage, gymnasium.Env[Observation, NDArray[np.float32]]):
    """One episode at a time on a stage.

    An episode opens an account in cash at a random decision and lasts `episode_decisions`, or to the last decision
    whose fill lies in the stage; after that one the rest of the sessions is passed. Then it is truncated; an account
    below 1 % of its capital is terminated.

    Args:
        stage: what is traded and known.
        config: settings.
    Raises:
        DataError: as `Episodes`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's name and kind

    def __init__(self, stage: Stage, config: EnvConfig | None = None) -> None:
        self._episodes = Episodes(stage, config or EnvConfig(), 1)
        self.observation_space = observation_space(self._episodes)
        self.action_space = action_space(self._episodes)
        self._ready = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Open an account.

        Args:
            options: {"start": k} opens it at decision k.
        Raises:
            DataError: a start outside the stage.
        """
        super().reset(seed=seed)
        start = self._episodes.start(self.np_random, (options or {}).get("start"))
        seen = self._episodes.sheet()
        self._episodes.begin(seen, 0, start)
        self._ready = True
        return _observation(seen), {"start": start, "date": self.stage.sessions[int(self.stage.decisions[start])]}

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide, and go to the next decision.

        Returns:
            observation, reward, terminated, truncated, and of the step "return" (simple, net of costs), "cost"
            (rupees), "turnover" (one-way), "fill_date" (None where nothing was decided), "equity" (rupees), "weights"
            (N,) that were wanted, NaN for a name that is kept.
        Raises:
            DataError: an action of another shape or not finite, a reward that is not finite, an episode that is over.
        """
        self._check_runs()
        self._take(action)
        return self._stepped(by_action=True)

    def step_weights(self, weights: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """As `step`, deciding (N,) weights instead of what an action means; NaN for a name that is kept.

        Raises:
            DataError: weights that no account could hold; as `step`.
        """
        self._check_runs()
        self._episodes.give(np.asarray(weights, dtype=np.float64)[None])
        return self._stepped(by_action=False)

    def weights_of(self, action: ArrayLike) -> Floats:
        """(N,) weights that an action would want at this decision, NaN for a name that is kept; nothing is stepped."""
        self._take(action)
        self._episodes.want()
        return self._episodes.state.wanted[0].copy()

    def _stepped(self, by_action: bool) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        seen = self._episodes.sheet()
        self._episodes.step(seen, by_action)
        ends = self._episodes.state.place[0, loop.ENDS]
        self._ready = bool(ends == loop.RUNS)
        figures = self._episodes.state.figures[0].tolist()
        over = bool(ends == loop.TERMINATED), bool(ends == loop.TRUNCATED)
        return _observation(seen), figures[loop.REWARD], *over, self._info(figures)

    def _check_runs(self) -> None:
        if not self._ready:
            raise DataError("environment: the episode is over or was never begun; call reset first.")

    def _take(self, action: ArrayLike) -> None:
        given = np.asarray(action, dtype=np.float32)
        if given.shape != self._episodes.actions.shape[1:]:
            raise DataError(
                f"environment: the action has shape {given.shape}; wanted {self._episodes.actions.shape[1:]} in mode "
                f"{self._episodes.config.mode!r}; use a policy of this stage."
            )
        self._episodes.actions[0] = given

    def _info(self, figures: list[float]) -> dict[str, Any]:
        state = self._episodes.state
        fill = state.fill[0]
        return {
            "return": figures[loop.STEP_RETURN],
            "cost": figures[loop.STEP_COST],
            "turnover": figures[loop.STEP_TURNOVER],
            "equity": figures[loop.EQUITY],
            "fill_date": self.stage.sessions[fill] if fill >= 0 else None,
            "weights": state.wanted[0].copy(),
        }


def _observation(seen: loop.Seen) -> Observation:
    return {"assets": seen.assets[0], "market": seen.market[0], "mask": seen.mask[0]}
