"""From the lab's tables to the arrays of a `Stage`: decisions, names, what they are shown, what the book wants.

Every number of a decision is known at its close. What the numbers are is in `blocks`; agents switch them by block
(`EnvConfig.blocks`).
"""

from dataclasses import dataclass, field, fields
from datetime import date

import numpy as np
import polars as pl

from quant_core import calendar, dense
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.history import History, dense_history
from quant_core.allocation.learning.blocks import (
    LONG_SESSIONS,
    Compression,
    Looked,
    embedding_inputs,
    forecast_inputs,
    market_inputs,
    regime_inputs,
    risk_inputs,
)
from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Flags, Floats, Integers
from quant_core.errors import DataError
from quant_core.schema import CASH, FAILED, IS_ELIGIBLE
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.panel import market_panel

#: Sessions before the first decision that inputs look back on.
LOOKBACK_SESSIONS = LONG_SESSIONS + 1
KEYS = {"date": pl.Date, "ticker": pl.String}


@dataclass(frozen=True)
class MarketTables:
    """What is known of a market until its last day, as the lab stores it.

    Args:
        prices: CleanPrices, from LOOKBACK_SESSIONS sessions before the first decision on.
        forecasts: Forecasts of one model; those before the first decision warm up the smoothed rank.
        book: TargetWeights of one strategy: its dates are the decisions.
        regimes: Regimes of one method; may be empty.
        embeddings: date, ticker and any number of columns, all by one encoder; may be empty.
    """

    prices: pl.DataFrame
    forecasts: pl.DataFrame
    book: pl.DataFrame
    regimes: pl.DataFrame
    embeddings: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=KEYS))

    def until(self, last: date) -> "MarketTables":
        """The same without what came later."""
        return MarketTables(*(getattr(self, each.name).filter(pl.col("date") <= last) for each in fields(self)))


def stage_of(
    tables: MarketTables, first: date, last: date, limits: AllocationConfig, account: AccountConfig,
    half_life_sessions: float = 21.0, compression: Compression | None = None,
) -> Stage:  # fmt: skip
    """The market from the first decision on or after `first` to `last`, as an agent with this account plays it.

    Args:
        limits: whose regime method is traded, and how far a position may go.
        account: costs, rules and capital.
        half_life_sessions: of the smoothed rank.
        compression: of embeddings, as the policy's training window has them; without one there are none.
    Raises:
        DataError: the book decides nothing between the two days.
    """
    known = tables.until(last)
    asked = known.book.filter(pl.col("ticker") != FAILED, pl.col("date") >= first)
    days = _buyable_days(known.prices, asked["date"].unique().sort())
    decided = asked.filter(pl.col("date").is_in(days.implode()))
    if days.is_empty():
        raise DataError(
            f"policy: the book decides nothing from {first} to {last}; materialize target_weights of these months, or "
            "name a book that the profile has."
        )
    begin = calendar.sessions_before(days[0], LOOKBACK_SESSIONS)
    history = dense_history(known.prices.filter(pl.col("date") >= begin), begin, days[-1])
    rows = np.array([calendar.session_number(day) for day in days]) - history.first_session
    names = _names(known.prices, decided, days, history, rows)
    panel = market_panel(known.prices, names, days[0], account)
    at = np.searchsorted(np.array(history.tickers.to_list()), np.array(panel.tickers.to_list()))
    dates = pl.Series("date", calendar.sessions(begin, days[-1]), dtype=pl.Date)
    looked = Looked(history, dates, rows, at, history.eligible[np.ix_(rows, at)])
    wanted = _book(known.book.filter(pl.col("ticker") != FAILED, pl.col("date") >= begin), days, looked, panel.tickers)
    asset = {
        **forecast_inputs(known.forecasts, looked, panel.tickers, half_life_sessions), **risk_inputs(looked),
        "book.weight": wanted / limits.max_position,
        **embedding_inputs(known.embeddings, compression, days, panel.tickers, looked.eligible),
    }  # fmt: skip
    market = {**market_inputs(looked), **regime_inputs(known.regimes, days)}
    row_of = {day: row for row, day in enumerate(panel.sessions)}
    return Stage(
        sessions=panel.sessions,
        tickers=panel.tickers.to_list(),
        market=panel.market,
        costs=account.cost_schedule(panel.sessions),
        rules=account.rules,
        capital_inr=account.initial_capital_inr,
        decisions=np.array([row_of[day] for day in days], dtype=np.int64),
        eligible=looked.eligible,
        asset_inputs=_stacked(asset, looked.eligible.shape),
        asset_names=tuple(asset),
        market_inputs=_stacked(market, (len(days),)),
        market_names=tuple(market),
        book=wanted,
    )


def _names(prices: pl.DataFrame, decided: pl.DataFrame, days: pl.Series, history: History, rows: Integers) -> pl.Series:
    """Everything that may be bought on a decision or that the book names, and has a price from the first one on."""
    eligible = history.tickers.filter(pl.Series(history.eligible[rows].any(axis=0)))
    booked = decided.filter(pl.col("ticker") != CASH)["ticker"]
    priced = prices.filter(pl.col("date") >= days[0])["ticker"].unique()
    wanted = pl.concat([eligible.alias("ticker"), booked.alias("ticker")]).unique()
    return wanted.filter(wanted.is_in(priced.implode()) & wanted.is_in(history.tickers.implode())).sort()


def _buyable_days(prices: pl.DataFrame, days: pl.Series) -> pl.Series:
    """Those of `days` on which something may be bought."""
    return prices.filter(IS_ELIGIBLE, pl.col("date").is_in(days.implode()))["date"].unique().sort()


def _book(rows: pl.DataFrame, days: pl.Series, looked: Looked, tickers: pl.Series) -> Floats:
    """(D, N) weights that the book wants to hold after each of `days`, those that it keeps among them.

    Args:
        rows: its decisions since the history began: what it keeps has come of them.
    """
    every = rows["date"].unique().sort()
    named = rows.filter(pl.col("ticker").is_in(tickers.implode()))
    wanted = dense.cells(named, every, tickers, "book").floats(named["weight"], empty=0.0)
    at = looked.sessions.search_sorted(every).to_numpy()
    level = np.cumprod(1.0 + np.nan_to_num(looked.history.total_return_1d[:, looked.columns]), axis=0)[at]
    eligible = looked.history.eligible[np.ix_(at, looked.columns)]
    return kept_weights(wanted, level, eligible)[every.search_sorted(days).to_numpy()]


def kept_weights(wanted: Floats, level: Floats, eligible: Flags) -> Floats:
    """(D, N) weights after each decision, where NaN in `wanted` keeps what an account without costs holds by then.

    What the first decision keeps is not known: it is taken to be what that leaves of 1, alike in the names kept that
    may be bought.

    Args:
        level: (D, N) value of one rupee in each name.
        eligible: (D, N).
    """
    found, held = np.zeros_like(wanted), np.zeros(wanted.shape[1])
    for k, row in enumerate(wanted):
        kept, named = np.isnan(row), np.nan_to_num(row)
        if k:
            grown = found[k - 1] * level[k] / level[k - 1]
            held = grown / (1.0 - found[k - 1].sum() + grown.sum())
        else:
            held[kept & eligible[0]] = max(1.0 - named.sum(), 0.0) / max((kept & eligible[0]).sum(), 1)
        room = max(1.0 - held[kept].sum(), 0.0)
        found[k] = np.where(kept, held, named * min(room / max(named.sum(), 1e-12), 1.0))
    return found


def _stacked(columns: dict[str, Floats], shape: tuple[int, ...]) -> np.ndarray:
    if not columns:
        return np.zeros((*shape, 0), dtype=np.float32)
    return np.stack(list(columns.values()), axis=-1).astype(np.float32)
