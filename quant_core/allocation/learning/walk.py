"""Policies walked along a stage, without randomness: what they wanted at each decision, and what that earned.

A seed's weights come from its own account. The mean of the seeds is a book of its own: at each decision every policy
looks at the mean book's account, and what they want is averaged, so one account can follow it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.policy import Policy, Seen
from quant_core.allocation.learning.stage import Stage
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError

#: A policy whose weights move by less than this, one-way a decision on average, does nothing of its own.
LEAST_MOVE = 1e-3


@dataclass(frozen=True, eq=False)
class Walk:
    """One account along a stage: K decisions made of its D.

    Args:
        weights: (D, N) wanted, NaN for a name that is kept; a decision that is not made keeps all.
        neutral: (K, N) what an action of zeros would have wanted: equal weight, or the book.
        actions: (K, A).
        simple_return, turnover, cost: (K,) from each decision to the next; cost as a fraction of equity.
        cash_return: (K,) what cash earned in that time.
        years: that the decisions span.
    """

    weights: Floats
    neutral: Floats
    actions: Floats
    simple_return: Floats
    turnover: Floats
    cost: Floats
    cash_return: Floats
    years: float

    def figures(self) -> dict[str, float]:
        """Net of costs: growth (mean log growth a year), sharpe (a year, of decisions' returns beyond cash), worst
        drawdown, turnover and cost a year, and how far the book is from what zeros would want (one-way)."""
        growth, beyond = np.log1p(self.simple_return), self.simple_return - self.cash_return
        spread = beyond.std()
        equity = np.exp(np.append(0.0, growth.cumsum()))
        per_year = len(growth) / self.years
        return {
            "growth": float(growth.sum() / self.years),
            "sharpe": float(beyond.mean() / spread * math.sqrt(per_year)) if spread > 0.0 else 0.0,
            "drawdown": float((1.0 - equity / np.maximum.accumulate(equity)).max()),
            "turnover_ann": float(self.turnover.sum() / self.years),
            "cost_ann": float(self.cost.sum() / self.years),
            "move": self.move,
        }

    @property
    def move(self) -> float:
        """Mean one-way distance of what was wanted from what zeros would want."""
        return float(0.5 * np.abs(self._tilts()).sum(axis=1).mean())

    @property
    def change(self) -> float:
        """Mean one-way distance of that difference from its own mean over the decisions: 0 for a constant tilt."""
        tilts = self._tilts()
        return float(0.5 * np.abs(tilts - tilts.mean(axis=0)).sum(axis=1).mean())

    def table(self, stage: Stage) -> pl.DataFrame:
        """Rows (date, simple_return, turnover, cost) of the decisions made."""
        days = [stage.sessions[row] for row in stage.decisions[: len(self.simple_return)]]
        columns = {name: getattr(self, name) for name in ("simple_return", "turnover", "cost")}
        return pl.DataFrame({"date": pl.Series(days, dtype=pl.Date), **columns})

    def _tilts(self) -> Floats:
        made: Floats = np.nan_to_num(self.weights[: len(self.neutral)] - self.neutral)
        return made


def walk(policies: Sequence[Policy], stage: Stage, config: Any) -> dict[str, Floats]:
    """(D, N) weights wanted by each policy, "seed_<n>", and by their mean, "mean"; NaN keeps what is held.

    Args:
        config: EnvConfig that the policies were trained in.
    Raises:
        DataError: no policy; a policy that was trained on other columns.
    """
    if not policies:
        raise DataError("walk: no policy; give it what an agent's training left.")
    seeds = {f"seed_{number}": walk_one(policy, stage, config).weights for number, policy in enumerate(policies)}
    return {"mean": walk_mean(policies, stage, config).weights, **seeds}


def walk_one(policy: Policy, stage: Stage, config: Any) -> Walk:
    """One policy on its own account."""
    return walk_mean((policy,), stage, config)


def walk_mean(policies: Sequence[Policy], stage: Stage, config: Any) -> Walk:
    """The mean of what policies want, on one account that follows it.

    A name that one of them keeps is kept.
    """
    env = whole_stage(stage, config)
    for policy in policies:
        policy.require(env.asset_columns, env.market_columns, f"walk of {policy.agent}")
    steps: list[tuple[Any, ...]] = []
    seen, _ = env.reset(options={"start": 0})
    over = False
    while not over:
        actions = [policy.act(seen) for policy in policies]
        neutral, wanted = env.weights_of(np.zeros_like(actions[0])), _mean_of(env, actions)
        seen, _, ruined, ended, info = env.step_weights(wanted)
        over = ruined or ended
        steps.append((wanted, neutral, np.mean(actions, axis=0), *_earned(info)))
    last = _mean_of(env, [policy.act(seen) for policy in policies])  # of a decision that is filled beyond the stage
    return _walk_of(stage, steps, last)


def walk_weights(stage: Stage, weights: Floats) -> Walk:
    """Given weights (D, N) on the same account, to compare with; its neutral book and actions are zeros."""
    env = whole_stage(stage, EnvConfig())
    env.reset(options={"start": 0})
    steps: list[tuple[Any, ...]] = []
    over = False
    while not over:
        wanted = weights[len(steps)]
        _, _, ruined, ended, info = env.step_weights(wanted)
        over = ruined or ended
        steps.append((wanted, np.zeros(len(wanted)), np.zeros(1), *_earned(info)))
    return _walk_of(stage, steps, weights[-1])


def _earned(info: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return, turnover and cost as a fraction of the equity before."""
    before = info["equity"] / (1.0 + info["return"])
    return info["return"], info["turnover"], info["cost"] / before


def whole_stage(stage: Stage, config: Any) -> PortfolioEnv:
    """One account over the whole stage, from its first decision on."""
    return PortfolioEnv(stage, replace(config, episode_decisions=0))


def _mean_of(env: PortfolioEnv, actions: Sequence[Any]) -> Floats:
    """(N,) mean of the weights that actions want at this decision, NaN where one of them keeps a name."""
    found: Floats = np.mean([env.weights_of(action) for action in actions], axis=0)
    return found


def why_unresponsive(found: Walk) -> str | None:
    """What a policy does instead of deciding; None for one that decides."""
    if found.move < LEAST_MOVE:
        return "it wants what an action of zeros wants: equal weight, or the book"
    if found.change < LEAST_MOVE:
        return "its tilt is constant, whatever it sees"
    return None


def check_responsive(found: Walk, agent: str) -> None:
    """Refuse a policy that does not decide.

    Raises:
        DataError: it ends at equal weight or the book, or its tilt never changes.
    """
    why = why_unresponsive(found)
    if why is not None:
        raise DataError(
            f"{agent}: {why} (one-way distance {found.move:.1e} on average, of which {found.change:.1e} varies; wanted "
            f"{LEAST_MOVE}); train longer, with more exploration, a larger learning rate or a stronger signal."
        )


def responsiveness(policy: Policy, stage: Stage, config: Any) -> dict[str, float]:
    """How far weights go, by block of columns, when its inputs go by one standard deviation of the training.

    Mean over decisions, of the policy's own walk, and over the columns of a block, of

        1/2 sum_i |w_i(x + s_c z) - w_i(x)|

    with s_c the column's standard deviation and z +1 and -1 by turns from name to name, the market's columns +1.

    Raises:
        DataError: a policy that was trained on other columns.
    """
    env = whole_stage(stage, config)
    policy.require(env.asset_columns, env.market_columns, f"responsiveness of {policy.agent}")
    moves: dict[str, list[float]] = {}
    seen, _ = env.reset(options={"start": 0})
    over = False
    while not over:
        action = policy.act(seen)
        wanted = env.weights_of(action)
        for block, pushed in _pushed(policy, seen):
            other = env.weights_of(policy.act(pushed))
            moves.setdefault(block, []).append(float(0.5 * np.nansum(np.abs(other - wanted))))
        seen, _, ruined, ended, _ = env.step(action)
        over = ruined or ended
    return {block: float(np.mean(found)) for block, found in moves.items()}


def _pushed(policy: Policy, seen: Seen) -> list[tuple[str, Seen]]:
    """The observation with one column moved at a time, by block."""
    scaling, found = policy.scaling, []
    turns = np.where(np.arange(seen["mask"].shape[-1]) % 2 == 0, 1.0, -1.0)
    for place, column in enumerate(policy.asset_columns):
        rows = seen["assets"].copy()
        rows[..., place] += (scaling.names_scale[place] * turns).astype(np.float32)
        found.append((column, {**seen, "assets": rows}))
    for place, column in enumerate(policy.market_columns):
        market = seen["market"].copy()
        market[..., place] += np.float32(scaling.market_scale[place])
        found.append((column, {**seen, "market": market}))
    return [(column.partition(".")[0], pushed) for column, pushed in found]


def _walk_of(stage: Stage, steps: Sequence[tuple[Any, ...]], last: Floats) -> Walk:
    columns = (np.asarray(column, dtype=np.float64) for column in zip(*steps, strict=True))
    wanted, neutral, actions, simple_return, turnover, cost = columns
    weights = np.full((len(stage.decisions), wanted.shape[1]), np.nan)
    weights[: len(wanted)] = wanted
    if len(wanted) == stage.n_made < len(weights):
        weights[stage.n_made] = last
    years = (len(stage.sessions) - 1 - stage.decisions[0]) / SESSIONS_PER_YEAR
    cash_return = _cash_return(stage, len(wanted))
    return Walk(weights, neutral, actions, simple_return, turnover, cost, cash_return, years)


def _cash_return(stage: Stage, count: int) -> Floats:
    """(K,) what cash earns from each of the first K decisions to the next, or to the end."""
    growth = np.append(0.0, np.cumsum(np.log1p(stage.market.cash_return_1d)))
    ends = np.append(stage.decisions[1:count], len(stage.sessions) - 1)
    found: Floats = np.expm1(growth[ends + 1] - growth[stage.decisions[:count] + 1])
    return found
