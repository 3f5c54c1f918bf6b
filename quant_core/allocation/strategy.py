"""What a strategy is: a function of what may be known, registered by its decorator, that returns weights.

Belongs here: the registry, what a strategy gets and the helpers that turn an idea into a table. The ideas themselves
are one file each in `strategies/`; estimating on trailing returns is `estimation.py`.

The table of target weights has no row for cash. Decision dates are known from the calendar: on such a date with prices,
a strategy without a row has decided to hold cash only, and on any other date nothing is decided (`backtest.simulate`
reads it in the same way).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from quant_core import calendar
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.history import History, dense_history
from quant_core.registry import Registry
from quant_core.schema import IS_ELIGIBLE
from quant_core.trading.rebalancing import last_month_end, rebalance_dates
from quant_core.trading.weights import Array, top_n_weights


@dataclass(frozen=True)
class DecisionInputs:
    """What every strategy gets. A weight may be decided from rows dated on or before its own date only.

    Args:
        decision_dates: ascending; each has prices.
        prices: CleanPrices from `first_known_day` to the last decision date, equities and index rows.
        forecasts: Forecasts on decision dates; may be empty.
        config: limits and timing.
    """

    decision_dates: pl.Series
    prices: pl.DataFrame
    forecasts: pl.DataFrame
    config: AllocationConfig

    @cached_property
    def eligible(self) -> pl.DataFrame:
        """(date, ticker) of the stocks that may be bought on each decision date: tradable members of the universe."""
        rows = self.prices.filter(IS_ELIGIBLE & pl.col("date").is_in(self.decision_dates.implode()))
        return rows.select("date", "ticker")

    @cached_property
    def history(self) -> History:
        """The stocks as dense arrays, reaching `config.history_sessions` back from every decision and estimate."""
        first = first_known_day(self.decision_dates[0], self.config)
        return dense_history(self.prices, first, self.decision_dates[-1])


#: From what may be known to columns date, ticker, weight; a weight of 0 may be left out. A function that keeps several
#: books (one a model) names them in a column `strategy`, else the book has the name that the function is registered by.
Strategy = Callable[[DecisionInputs], pl.DataFrame]

STRATEGIES: Registry[Strategy] = Registry("strategy", "quant_core.allocation.strategies")


def decision_inputs(
    prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig, start: date, end: date
) -> DecisionInputs:
    """The inputs of the decisions from `start` to `end`: rows too old or after the last decision are cut away."""
    dates = pl.Series("date", rebalance_dates(start, end, config.rebalance), dtype=pl.Date)
    dates = dates.filter(dates.is_in(prices["date"].unique().implode()))
    known = prices.clear()
    if len(dates):
        known = prices.filter(pl.col("date").is_between(first_known_day(dates[0], config), dates[-1]))
    return DecisionInputs(dates, known, forecasts.filter(pl.col("date").is_in(dates.implode())), config)


def first_known_day(decision: date, config: AllocationConfig) -> date:
    """The oldest session that a decision may look back on: a full history before the month-end that it rests on."""
    newest = last_month_end(decision) or decision
    return calendar.sessions(calendar.FIRST_DAY, newest)[-config.history_sessions :][0]


def hold_best(inputs: DecisionInputs, sessions: int, score: Callable[[History], Array]) -> pl.DataFrame:
    """Equal weights in the top_n stocks that score highest, of those that may be bought on the decision date.

    Args:
        sessions: how many sessions `score` sees, the decision date's included.
        score: from the `sessions` sessions up to a decision to (N,) scores; NaN for a name that is not to be chosen.
    Returns:
        date, ticker, weight; max_position and min_position hold, ties go to the earlier ticker.
    """
    past = [inputs.history.until(day, sessions) for day in inputs.decision_dates]
    scores = np.stack([np.where(known.eligible[-1], score(known), np.nan) for known in past])  # (D, N)
    limits = inputs.config
    weights = top_n_weights(scores, limits.top_n, max_position=limits.max_position, min_position=limits.min_position)
    return from_dense(weights, inputs.decision_dates, inputs.history.tickers)


def from_dense(weights: Array, dates: pl.Series, tickers: pl.Series) -> pl.DataFrame:
    """date, ticker, weight from (T, N) weights; only weights above 0."""
    row, column = np.nonzero(weights > 0.0)
    return pl.DataFrame({
        "date": dates.gather(row), "ticker": tickers.gather(column), "weight": weights[row, column],
    })  # fmt: skip
