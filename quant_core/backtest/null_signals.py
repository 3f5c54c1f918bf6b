"""Scores that hold no skill, or exactly so much, and how well any score ranked the returns after it.

What belongs here: drawing scores for the decisions of a universe and measuring their rank IC. What does not: turning
them into books (`null_books`) and judging those (`null_test`), real forecasts and their quality.

D decisions, N names. Everything is drawn from `numpy.random.default_rng`, so a seed gives the same scores wherever and
in whatever order they are drawn.
"""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.backtest.config import BacktestConfig
from quant_core.dense import Flags, Floats, Integers
from quant_core.errors import DataError
from quant_core.measures import information_coefficient as ic
from quant_core.measures import newey_west
from quant_core.measures.forward_returns import forward_returns
from quant_core.schema import IS_ELIGIBLE
from quant_core.trading.panel import MarketPanel, market_panel
from quant_core.trading.rebalancing import Rebalance, rebalance_dates


@dataclass(frozen=True, eq=False)
class Choices:
    """What could be decided on, and what came of it.

    Args:
        panel: the market from the first decision on.
        rows: (D,) sessions of the panel at whose close was decided.
        eligible: (D, N) members that traded in the session of the decision: equities only.
        forward_return: (D, N) from the open after the decision to the open `horizon` sessions later; NaN where it is
            not known. It is the future: only `planted_scores` and `rank_ic` may read it.
    """

    panel: MarketPanel
    rows: Integers
    eligible: Flags
    forward_return: Floats


def choices_of(
    prices: pl.DataFrame, config: BacktestConfig, rebalance: Rebalance, start: date, end: date, horizon_sessions: int
) -> Choices:
    """The decisions of `rebalance` from `start` to `end`, among the members of each date.

    Args:
        prices: CleanPrices; rows before `start` feed trailing averages, rows after `end` are not read.
    Raises:
        DataError: fewer than two decisions with a member that trades.
    """
    known = prices.filter(pl.col("date") <= end)
    member = known.filter(IS_ELIGIBLE & (pl.col("date") >= start))
    traded = set(member["date"].unique())
    decided = [day for day in rebalance_dates(start, end, rebalance) if day in traded]
    if len(decided) < 2:
        raise DataError(
            f"null test: {len(decided)} {rebalance} decisions with members from {start} to {end}; "
            "wanted two or more: give a longer span."
        )
    panel = market_panel(known, member["ticker"].unique().sort(), decided[0], config)
    days = pl.Series(decided, dtype=pl.Date)
    rows = pl.Series(panel.sessions, dtype=pl.Date).search_sorted(days).to_numpy().astype(np.int64)
    here = pl.col("date").is_in(decided) & pl.col("ticker").is_in(panel.tickers.implode())
    chosen, earned = (table.filter(here) for table in (member, forward_returns(known, horizon_sessions)))
    eligible, forward = (dense.cells(table, days, panel.tickers, "null test") for table in (chosen, earned))
    return Choices(panel, rows, eligible.present(), forward.floats(earned[f"forward_return_{horizon_sessions}d"]))


def independent_scores(eligible: Flags, rng: np.random.Generator) -> Floats:
    """(D, N) standard normal scores, drawn afresh for every decision."""
    return rng.standard_normal(eligible.shape)


def persistent_scores(eligible: Flags, rng: np.random.Generator, persistence: float) -> Floats:
    """(D, N) standard normal scores that keep `persistence` of themselves from one decision to the next (AR(1)).

    A name has a score on every date, member or not, so that joining tells nothing.
    """
    noise = rng.standard_normal(eligible.shape)
    scores, fresh = noise.copy(), math.sqrt(1.0 - persistence**2)
    for d in range(1, len(scores)):
        scores[d] = persistence * scores[d - 1] + fresh * noise[d]
    return scores


def planted_scores(universe: Choices, rng: np.random.Generator, rank_ic: float) -> Floats:
    """(D, N) scores whose true rank IC with the return to come is `rank_ic`; deliberate lookahead.

    The normal scores z of the forward returns' ranks are mixed with noise, rho z + sqrt(1 - rho^2) noise. The Spearman
    correlation of two normals is 6 / pi asin(rho / 2), so rho = 2 sin(pi rank_ic / 6). Names whose return is not known
    are scored by noise.
    """
    from scipy.special import ndtri

    valid = universe.eligible & ~np.isnan(universe.forward_return)
    place = (ic.ranks(universe.forward_return, valid) - 0.5) / np.maximum(valid.sum(axis=1, keepdims=True), 1)
    skill = np.where(valid, ndtri(np.where(valid, place, 0.5)), 0.0)
    rho = 2.0 * math.sin(math.pi * rank_ic / 6.0)
    noise = rng.standard_normal(valid.shape)
    return np.where(valid, rho * skill + math.sqrt(1.0 - rho**2) * noise, noise)


def rank_ic(scores: Floats, universe: Choices) -> Floats:
    """(D,) rank IC over the eligible names."""
    return ic.rank_ic(scores, np.where(universe.eligible, universe.forward_return, np.nan))


def newey_west_t(values: Floats, overlap: int = 0) -> float:
    """t statistic of the mean of a series in time order, NaN values left out; NaN without variance.

    Args:
        overlap: lags that the values are dependent over by construction, as in `trading.newey_west`.
    """
    return newey_west.newey_west_t(values[~np.isnan(values)], horizon_sessions=overlap + 1)[1]
