"""The index that strategies are measured against: total return where it exists, the price index before and after."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from quant_core.schema import BenchmarkReturns, validate

NO_INDEX = "none"


def benchmark_returns(
    prices: pl.DataFrame,
    sessions: Sequence[date],
    total_return_ticker: str,
    price_ticker: str,
    risk_free_return_1d: ArrayLike = 0.0,
) -> pl.DataFrame:
    """One return for every session, with the name of the series that it came from.

    The total-return index is used from its first return to its last, the price index outside that span. Within a
    series' span a missing day counts 0, because the next row's return spans the gap; filling it from the other series
    would count that day twice. The first session is 0: nobody holds anything before its close.

    Args:
        prices: CleanPrices with the index rows, if any.
        sessions: the days wanted, ascending.
        risk_free_return_1d: what cash earned since the session before, one number or one a session.
    Returns:
        BenchmarkReturns; `series` is "none" where neither index has data.
    """
    days = pl.DataFrame({"date": sessions}, schema={"date": pl.Date})
    total, price = (_one(prices, days, ticker) for ticker in (total_return_ticker, price_ticker))
    cash = np.broadcast_to(np.asarray(risk_free_return_1d, dtype=np.float64), (len(days),))
    table = days.with_columns(
        pl.coalesce(total, price, pl.lit(0.0)).alias("simple_return_1d"),
        pl.when(total.is_not_null())
        .then(pl.lit(total_return_ticker))
        .when(price.is_not_null())
        .then(pl.lit(price_ticker))
        .otherwise(pl.lit(NO_INDEX))
        .alias("series"),
        pl.Series("risk_free_return_1d", cash),
    ).with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(0.0).otherwise(pl.col(name)).alias(name)
        for name in ("simple_return_1d", "risk_free_return_1d")
    )
    return validate(table, BenchmarkReturns, "backtest benchmark", "clean the index rows of prices.")


def _one(prices: pl.DataFrame, days: pl.DataFrame, ticker: str) -> pl.Series:
    """The ticker's return on `days`: 0 for a gap inside its span, null outside."""
    own = prices.filter(pl.col("ticker") == ticker).select("date", pl.col("total_return_1d").fill_nan(None))
    span = own.drop_nulls()
    joined = days.join(own, on="date", how="left", maintain_order="left")
    inside = pl.col("date").is_between(pl.lit(span["date"].min(), pl.Date), pl.lit(span["date"].max(), pl.Date))
    value = pl.when(inside).then(pl.col("total_return_1d").fill_null(0.0))
    return joined.select(value.alias(ticker)).to_series()
