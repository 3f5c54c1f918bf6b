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
from numpy.typing import NDArray

from quant_core.backtest.config import BacktestConfig
from quant_core.errors import DataError
from quant_core.measures import newey_west
from quant_core.schema import IS_ELIGIBLE, IS_QUARANTINED
from quant_core.trading.panel import MarketPanel, market_panel
from quant_core.trading.rebalancing import Rebalance, rebalance_dates

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

FEWEST_NAMES = 5  # a decision with fewer has no rank IC


@dataclass(frozen=True, eq=False)
class Choices:
    """What could be decided on, and what came of it.

    Args:
        panel: the market from the first decision on.
        rows: (D,) sessions of the panel at whose close was decided.
        eligible: (D, N) members that traded in the session of the decision: equities only.
        forward_return: (D, N) from the open after the decision to the open `horizon` sessions later, as labels have it;
            NaN where it is not known, is quarantined on the way or the name did not trade at either end. It is the
            future: only `planted_scores` and `rank_ic` may read it.
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
    dates = pl.Series(panel.sessions, dtype=pl.Date)
    rows = dates.search_sorted(pl.Series(decided, dtype=pl.Date)).to_numpy().astype(np.int64)
    eligible = _flags(member, panel)[rows]
    tradable = _flags(known.filter(pl.col("is_tradable")), panel)
    withheld = _flags(known.filter(IS_QUARANTINED) if "flags" in known.columns else known.clear(), panel)
    return Choices(panel, rows, eligible, _forward_return(panel, tradable, withheld, rows, horizon_sessions))


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
    place = (_ranks(universe.forward_return, valid) - 0.5) / np.maximum(valid.sum(axis=1, keepdims=True), 1)
    skill = np.where(valid, ndtri(np.where(valid, place, 0.5)), 0.0)
    rho = 2.0 * math.sin(math.pi * rank_ic / 6.0)
    noise = rng.standard_normal(valid.shape)
    return np.where(valid, rho * skill + math.sqrt(1.0 - rho**2) * noise, noise)


def rank_ic(scores: Floats, universe: Choices) -> Floats:
    """(D,) Spearman correlation of scores and forward returns over the eligible names, average ranks for ties.

    NaN for a decision with fewer than FEWEST_NAMES known returns, or without variance.
    """
    valid = universe.eligible & ~np.isnan(universe.forward_return)
    return _correlation(_ranks(scores, valid), _ranks(universe.forward_return, valid), valid)


def newey_west_t(values: Floats, overlap: int = 0) -> float:
    """t statistic of the mean of a series in time order, NaN values left out; NaN without variance.

    Args:
        overlap: lags that the values are dependent over by construction, as in `trading.newey_west`.
    """
    return newey_west.newey_west_t(values[~np.isnan(values)], horizon_sessions=overlap + 1)[1]


def _flags(rows: pl.DataFrame, panel: MarketPanel) -> Flags:
    """(T, N) True where `rows` has the session and name."""
    inside = rows.filter((pl.col("date") >= panel.sessions[0]) & pl.col("ticker").is_in(panel.tickers.implode()))
    table = np.zeros((len(panel.sessions), len(panel.tickers)), dtype=np.bool_)
    dates = pl.Series(panel.sessions, dtype=pl.Date)
    table[dates.search_sorted(inside["date"]).to_numpy(), panel.tickers.search_sorted(inside["ticker"]).to_numpy()] = (
        True
    )
    return table


def _forward_return(panel: MarketPanel, tradable: Flags, withheld: Flags, rows: Integers, horizon: int) -> Floats:
    """Open after the decision to the open `horizon` sessions later; a session without a return in between counts 0, one
    whose return is withheld leaves nothing known."""
    market, n = panel.market, len(panel.sessions)
    growth = (1.0 + np.nan_to_num(market.overnight_return)) * (1.0 + np.nan_to_num(market.intraday_return))
    held = np.cumprod(growth, axis=0)
    forward = np.full((len(rows), len(panel.tickers)), np.nan)
    inside = rows + 1 + horizon < n
    entry, leave = rows[inside] + 1, rows[inside] + 1 + horizon
    path = held[leave - 1] / held[entry]
    value = (1.0 + market.intraday_return[entry]) * path * (1.0 + market.overnight_return[leave]) - 1.0
    n_withheld = np.cumsum(withheld, axis=0)
    known = tradable[entry] & tradable[leave] & (n_withheld[leave] == n_withheld[entry])
    forward[inside] = np.where(known, value, np.nan)
    return forward


def _ranks(values: Floats, valid: Flags) -> Floats:
    """Ranks from 1 within each row among the valid cells, average for ties; others are beyond them."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.where(valid, values, np.inf), axis=1))


def _correlation(one: Floats, other: Floats, valid: Flags) -> Floats:
    n = valid.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (
            np.where(valid, ranks - np.where(valid, ranks, 0.0).sum(axis=1, keepdims=True) / n, 0.0)
            for ranks in (one, other)
        )
        result = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(n[:, 0] >= FEWEST_NAMES, result, np.nan)
