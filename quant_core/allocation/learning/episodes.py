"""E episodes on one stage: what a single environment and a vectorised one are both made of.

Belongs here: the arrays that `episode_loop` works on, where episodes start, and errors in words. How a step goes is
told in `episode_loop`, what an action means in `actions`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.allocation.learning import episode_loop as loop
from quant_core.allocation.learning.actions import Scratch, action_size, limits_of
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.reward import MEMORY, PARAMETERS, REWARDS
from quant_core.allocation.learning.stage import Stage, block_of
from quant_core.errors import DataError
from quant_core.trading.decisions import Decisions, unholdable
from quant_core.trading.loop_input import loop_input
from quant_core.trading.side_by_side import empty_accounts, most_waiting, none_waiting
from quant_core.trading.windows import most_delistings

OWN_ASSET_COLUMNS = ("account.weight", "account.eligible")
OWN_MARKET_COLUMNS = ("account.cash", "account.drawdown", "account.turnover_spent")
OWN_BLOCK = "account"  # always seen
REGIMES = "regimes"

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Names of what an observation shows: of each name, of the market."""

    asset: tuple[str, ...]  # (F + 2,)
    market: tuple[str, ...]  # (M + 3,)


class Episodes:
    """The state of E episodes and the views of it that an environment hands out.

    Args:
        stage: what is traded.
        config: settings.
        n_episodes: E.
    Raises:
        DataError: a stage without a decision that is filled in it, a mode that needs a book without one, a block that
            no column belongs to.
        UnknownName: a reward that is not registered.
    """

    def __init__(self, stage: Stage, config: EnvConfig, n_episodes: int = 1) -> None:
        self.stage, self.config, self.n_episodes = stage, config, n_episodes
        _check(stage, config, n_episodes)
        shown = _shown(stage, config)
        self.columns = Columns(
            (*(stage.asset_names[k] for k in shown[0]), *OWN_ASSET_COLUMNS),
            (*(stage.market_names[k] for k in shown[1]), *OWN_MARKET_COLUMNS),
        )
        shape, names = (n_episodes, len(stage.tickers)), len(stage.tickers)
        self.actions = np.zeros((n_episodes, action_size(config, names)), np.float32)
        self.state = loop.State(
            place=np.zeros((n_episodes, 3), np.int64),
            figures=np.zeros((n_episodes, loop.N_FIGURES)),
            memory=np.zeros((n_episodes, MEMORY)),
            held=np.zeros(shape),
            wanted=np.zeros(shape),
            fill=np.zeros(n_episodes, np.int64),
        )
        self._bad = np.zeros(1, np.int64)
        self._engine = self._made(shown)

    @property
    def longest(self) -> int:
        """Decisions of an episode that may start anywhere in the stage."""
        asked = self.config.episode_decisions
        return min(asked, self.stage.n_made) if asked else self.stage.n_made

    def start(self, random: np.random.Generator, at: int | None = None) -> int:
        """Decision at which an episode opens: `at`, or one that leaves room for a whole episode.

        Raises:
            DataError: a start at which nothing can be decided any more.
        """
        if at is None:
            return int(random.integers(self.stage.n_made - self.longest + 1))
        if not 0 <= at < self.stage.n_made:
            raise DataError(
                f"environment: start {at}; the stage has decisions 0 to {self.stage.n_made - 1} whose fill lies in it."
            )
        return int(at)

    def sheet(self) -> loop.Seen:
        """Room for the observations of all episodes, with nothing in it yet."""
        shape = (self.n_episodes, len(self.stage.tickers))
        return loop.Seen(
            assets=np.empty((*shape, len(self.columns.asset)), np.float32),
            market=np.empty((self.n_episodes, len(self.columns.market)), np.float32),
            mask=np.empty(shape, np.float32),
        )

    def begin(self, seen: loop.Seen, episode: int, start: int) -> None:
        """Open an account at a decision, and write what is known there."""
        length = self.stage.n_made - start
        asked = self.config.episode_decisions
        loop.begin(self._engine, seen, episode, start, min(asked, length) if asked else length)

    def step(self, seen: loop.Seen, by_action: bool = True) -> None:
        """Take every episode to its next decision, and write what is known there.

        Args:
            by_action: through `actions`, else what `state.wanted` says.

        Raises:
            DataError: an action or a reward that is not a number; an episode that is over.
        """
        code = loop.step_all(self._engine, seen, self.actions, by_action, self._bad)
        if code:
            self._refuse(code, int(self._bad[0]))

    def want(self) -> None:
        """Write to `state.wanted` what `actions` would hold, without a step."""
        bad = loop.wanted_by(self._engine, self.actions)
        if bad:
            self._refuse(loop.BAD_ACTION, bad - 1)

    def give(self, weights: ArrayLike) -> None:
        """Write weights (E, N) that are wanted, NaN for a name that is kept, to `state.wanted`.

        Raises:
            DataError: another shape, weights that no account could hold.
        """
        wanted = np.asarray(weights, dtype=np.float64)
        if wanted.shape != self.state.wanted.shape:
            raise DataError(f"environment: weights have shape {wanted.shape}; wanted {self.state.wanted.shape}.")
        bad = unholdable(wanted)
        if bad.any():
            e, known = int(np.argmax(bad)), np.nan_to_num(wanted, nan=0.0)
            raise DataError(
                f"environment {self.stage.when(self.state.place[e, loop.DECISION])}: weights of episode {e} run from "
                f"{known[e].min()} to {known[e].max()} and sum to {known[e].sum()}; wanted numbers >= 0 of at most 1 "
                "in all, NaN for a name that is kept."
            )
        self.state.wanted[:] = wanted

    def _refuse(self, code: int, episode: int) -> None:
        decision = int(self.state.place[episode, loop.DECISION])
        if code == loop.BAD_ACTION:
            action = self.actions[episode]
            k = int(np.argmax(~np.isfinite(action)))
            raise DataError(
                f"environment {self.stage.when(decision)}: number {k} of the action of episode {episode} is "
                f"{action[k]}; wanted numbers from -1 to 1; look for a policy whose parameters are no longer finite."
            )
        figures = self.state.figures[episode]
        raise DataError(
            f"environment {self.stage.when(decision)}: reward {self.config.reward!r} of episode {episode} is "
            f"{figures[loop.REWARD]} after a return of {figures[loop.STEP_RETURN]} and a cost of "
            f"{figures[loop.STEP_COST]} rupees; wanted a finite number; look at the prices of the sessions before."
        )

    def _made(self, shown: tuple[Indices, Indices]) -> loop.Engine:
        stage, config, names = self.stage, self.config, len(self.stage.tickers)
        given = loop_input(stage.market, Decisions.of([], [], [], []), stage.costs, stage.rules)
        book = np.full((1, names), np.nan) if stage.book is None else stage.book
        reward = REWARDS[config.reward]
        return loop.engine_of(
            given.market,
            given.charges,
            given.terms,
            empty_accounts(self.n_episodes, names, most_delistings(stage.market)),
            none_waiting(self.n_episodes, names, most_waiting(stage.decisions, stage.due)),
            loop.Script(
                rows=stage.decisions,
                due=stage.due,
                asset=np.ascontiguousarray(stage.asset_inputs[:, :, shown[0]]),
                market=np.ascontiguousarray(stage.market_inputs[:, shown[1]]),
                buyable=stage.buyable,
                closed=stage.closed,
                book=np.broadcast_to(book, (len(stage.decisions), names)).copy(),
            ),
            loop.Terms(
                n_sessions=stage.market.n_sessions,
                n_made=stage.n_made,
                capital=float(stage.capital_inr),
                budget=config.turnover_budget / loop.SESSIONS_A_YEAR,
                lambda_drawdown=float(config.lambda_drawdown),
                lambda_turnover=float(config.lambda_turnover),
                reward_scale=float(config.reward_scale),
            ),
            limits_of(config),
            Scratch(np.zeros(names), np.zeros(names)),
            self.state,
            _padded(reward.parameters(config)),
            reward.kernel,
        )


def _padded(parameters: tuple[float, ...]) -> NDArray[np.float64]:
    room = np.zeros(PARAMETERS)
    room[: len(parameters)] = parameters
    return room


class OnStage:
    """What every environment says of its episodes: the stage, and what the columns of an observation are called."""

    _episodes: Episodes

    @property
    def stage(self) -> Stage:
        return self._episodes.stage

    @property
    def asset_columns(self) -> tuple[str, ...]:
        """(F + 2,) what the columns of "assets" are called."""
        return self._episodes.columns.asset

    @property
    def market_columns(self) -> tuple[str, ...]:
        """(M + 3,) what the columns of "market" are called."""
        return self._episodes.columns.market


def _check(stage: Stage, config: EnvConfig, n_episodes: int) -> None:
    if n_episodes < 1:
        raise DataError(f"environment: {n_episodes} episodes; wanted at least 1.")
    if config.mode != "direct" and stage.book is None:
        raise DataError(
            f"environment: mode {config.mode!r} starts from a book and the stage has none; give the stage a cost-aware "
            "book, or choose mode 'direct'."
        )
    if stage.n_made == 0:
        raise DataError(
            f"environment: no decision of the stage, from {stage.when(0)} on, is filled by {stage.sessions[-1]}; "
            "choose a longer window."
        )


def _shown(stage: Stage, config: EnvConfig) -> tuple[Indices, Indices]:
    """Columns of a name and of the market that are seen."""
    blocks = {block_of(name) for name in (*stage.asset_names, *stage.market_names)}
    unknown = sorted(set(config.blocks or ()) - blocks - {OWN_BLOCK})
    if unknown:
        raise DataError(
            f"environment: blocks {', '.join(unknown)} are in no column; known: {', '.join(sorted(blocks)) or 'none'}."
        )
    chosen = blocks if config.blocks is None else set(config.blocks)
    chosen = chosen if config.regime_aware else chosen - {REGIMES}
    asset, market = (
        np.array([k for k, name in enumerate(names) if block_of(name) in chosen], np.int64)
        for names in (stage.asset_names, stage.market_names)
    )
    return asset, market
