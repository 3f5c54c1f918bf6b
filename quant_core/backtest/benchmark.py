"""The index that strategies are measured against: total return where it is published, an estimate that says so where
it is not yet, the price index before it existed.

A day's value reads rows up to that day only. Total-return indices are published late: until one is, the day is
provisional, the price index's return plus the dividend yield that the two indices showed over the year before. When the
published value arrives, its day takes the difference, so that the level is the index's own again; no earlier day
changes.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.schema import CARRIED, NO_SERIES, PROVISIONAL, BenchmarkReturns, validate

#: Sessions on which both indices must be known before their difference is called a dividend yield.
FEWEST_YIELD_SESSIONS = 63


def benchmark_returns(
    prices: pl.DataFrame,
    sessions: Sequence[date],
    total_return_ticker: str,
    price_ticker: str,
    risk_free_return_1d: ArrayLike = 0.0,
    price_returns_after: date | None = None,
) -> pl.DataFrame:
    """One return for every session, with the name of the series that it came from and whether it is provisional.

    With T the total-return and P the price level, a the last session on which both were known and y the dividend yield
    a session that they showed over the 252 sessions up to a, the level of an unpublished session t is
    T_a x P_t / P_a x (1 + y)^(sessions since a). A session that neither index has counts 0; the next row spans it.
    The first session is 0: nobody holds anything before its close.

    Args:
        prices: CleanPrices with the index rows, if any; rows before the first session teach the dividend yield.
        sessions: the days wanted, ascending.
        risk_free_return_1d: what cash earned since the session before, one number or one a session.
        price_returns_after: after this day stocks earn price returns only (their dividends are not known), and so does
            the benchmark; None for never.
    Returns:
        BenchmarkReturns; `series` is "none" where neither index has data yet, and ends in PROVISIONAL or CARRIED on
        estimated days.
    """
    is_index = pl.col("ticker").is_in([total_return_ticker, price_ticker])
    known = prices.filter(is_index, pl.col("date") <= sessions[-1])
    days = sorted({*known["date"].to_list(), *sessions})
    total, price = _levels(known, days, total_return_ticker), _levels(known, days, price_ticker)
    level, series = _spliced(days, total, price, total_return_ticker, price_ticker, price_returns_after)
    place = {day: k for k, day in enumerate(days)}
    rows = np.array([place[day] for day in sessions])
    cash = np.broadcast_to(np.asarray(risk_free_return_1d, dtype=np.float64), (len(rows),)).copy()
    cash[0] = 0.0
    table = pl.DataFrame({
        "date": pl.Series(sessions, dtype=pl.Date),
        "simple_return_1d": np.concatenate([[0.0], level[rows[1:]] / level[rows[:-1]] - 1.0]),
        "series": [series[row] for row in rows],
        "risk_free_return_1d": cash,
    })  # fmt: skip
    return validate(table, BenchmarkReturns, "backtest benchmark", "clean the index rows of prices.")


def _levels(known: pl.DataFrame, days: Sequence[date], ticker: str) -> Floats:
    """(D,) level of an index, 1 at its first row; NaN on days without a row or a return."""
    own = known.filter(pl.col("ticker") == ticker, ~pl.col("is_filled")).sort("date")
    own = own.select("date", earned=pl.col("total_return_1d").fill_nan(None))
    first = pl.int_range(pl.len()) == 0
    own = own.with_columns(earned=pl.when(first).then(0.0).otherwise("earned")).drop_nulls()
    own = own.with_columns(level=(1.0 + pl.col("earned")).cum_prod())
    joined = pl.DataFrame({"date": days}, schema={"date": pl.Date}).join(own, on="date", how="left")
    return joined.sort("date")["level"].fill_null(np.nan).to_numpy()


def _spliced(
    days: Sequence[date], total: Floats, price: Floats, total_name: str, price_name: str, price_after: date | None
) -> tuple[Floats, list[str]]:
    """(D,) level of the benchmark and the series of each day, from the levels of the two indices."""
    level, series = np.ones(len(days)), [NO_SERIES] * len(days)
    scale: float | None = None  # of the total-return level, so that it begins where the price level stood
    anchor, last_price = -1, -1  # last sessions with both indices, with the price index
    for t, day in enumerate(days):
        has_price, priced_only = not np.isnan(price[t]), price_after is not None and day > price_after
        on_price = level[last_price] * price[t] / price[last_price] if has_price and last_price >= 0 else level[t - 1]
        on_price = on_price if t else 1.0
        if not np.isnan(total[t]) and not priced_only:
            scale = on_price / total[t] if scale is None else scale
            level[t], series[t] = scale * total[t], total_name
            anchor = t if has_price else anchor
        elif has_price and anchor >= 0 and scale is not None and not priced_only:
            grown = price[t] / price[anchor] * (1.0 + _dividend_yield(total, price, anchor)) ** (t - anchor)
            level[t], series[t] = scale * total[anchor] * grown, total_name + PROVISIONAL
        elif has_price:
            level[t], series[t] = on_price, price_name
        else:
            level[t] = level[t - 1] if t else 1.0
            series[t] = NO_SERIES if scale is None and last_price < 0 else _plain(series[t - 1]) + CARRIED
        last_price = t if has_price else last_price
    return level, series


def _plain(series: str) -> str:
    return series.removesuffix(CARRIED).removesuffix(PROVISIONAL)


def _dividend_yield(total: Floats, price: Floats, upto: int) -> float:
    """What the total-return index earned over the price index a session, over the year before and with `upto`."""
    both = np.flatnonzero(~np.isnan(total[: upto + 1]) & ~np.isnan(price[: upto + 1]))
    begin = both[max(len(both) - 1 - SESSIONS_PER_YEAR, 0)]
    if upto - begin < FEWEST_YIELD_SESSIONS:
        return 0.0
    ahead = total[upto] / total[begin] / (price[upto] / price[begin])
    return float(ahead ** (1.0 / (upto - begin)) - 1.0)


def estimated_days(benchmark: pl.DataFrame) -> pl.DataFrame:
    """Rows of a BenchmarkReturns table that are provisional or carried."""
    return benchmark.filter(pl.col("series").str.ends_with(PROVISIONAL) | pl.col("series").str.ends_with(CARRIED))
