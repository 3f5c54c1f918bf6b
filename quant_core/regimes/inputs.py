"""What a session of the market looks like: one row a session, from the index's rows and those of the day's members.

Every value rests on its own session and those before it. Rolling sums keep a trace of where they began, so equal bits
need an equal first session: `table` and `fit` see to that.
"""

import math
from datetime import date

import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR, sessions
from quant_core.errors import DataError
from quant_core.schema import EQUITY, INDEX

#: Columns beside `date`, in this order; see `market_inputs`.
INPUT_COLUMNS = (
    "return_1d", "log_range_1d", "log_volatility_10d", "log_volatility_21d", "log_volatility_63d", "drawdown_252d",
    "momentum_63d", "breadth_21d", "log_dispersion_21d", "correlation_63d", "log_vix",
)  # fmt: skip
#: Sessions before a row that it looks back on, its return's own session before included.
LOOKBACK_SESSIONS = 253
#: Fewer members than this say nothing about breadth, dispersion and correlation.
FEWEST_MEMBERS = 5
#: Share of a window's sessions that may lack a value.
LACKING = 0.1


def market_inputs(prices: pl.DataFrame, index_ticker: str, vix_ticker: str | None = None) -> pl.DataFrame:
    """One row a session from the first to the last one of `prices`; null where something is not known.

    Args:
        prices: CleanPrices, equities and index rows.
        vix_ticker: of an implied volatility index in percent a year; None where there is none.
    Returns:
        `date`, and of the index: `return_1d` (log), `log_range_1d` (log of log(high / low)), `log_volatility_{w}d`
        (log of the standard deviation of w returns, a year), `drawdown_252d` (log of the level over its highest of 252
        sessions, at most 0), `momentum_63d` (sum of log returns). Of the day's members: `breadth_21d` (mean of
        (A - D) / (A + D)), `log_dispersion_21d` (log of the mean of the day's standard deviation between members),
        `correlation_63d` (mean correlation of pairs, weighted by their volatilities: (n^2 s^2 - sum s_i^2) /
        ((sum s_i)^2 - sum s_i^2), s of the members' mean). `log_vix`: log of the index / 100. A session without a row
        of the index has null in what is the index's of the day, and spoils no window that lacks few.
    Raises:
        DataError: there is no row of the index.
    Source: the correlation: Skintzi and Refenes, Implied Correlation Index, Journal of Futures Markets 25(2), 2005.
    """
    own = prices.filter(pl.col("instrument") == INDEX, pl.col("ticker") == index_ticker, ~pl.col("is_filled"))
    if own.is_empty():
        known = prices.filter(pl.col("instrument") == INDEX)["ticker"].unique().sort().to_list()
        raise DataError(
            f"regimes: no row of the index {index_ticker} (indices there are: {known or 'none'}); put a file of its "
            "prices beside the others (NIFTY 50.csv), name the profile's price_index as the source does, or run "
            "without regimes: --set 'profile.regimes=[]'."
        )
    first, last = prices["date"].min(), prices["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    days = pl.DataFrame({"date": sessions(first, last)}, schema={"date": pl.Date})
    table = days.join(_index(days, own), on="date", how="left", maintain_order="left")
    table = table.join(_members(days, prices), on="date", how="left", maintain_order="left")
    table = table.join(_vix(prices, vix_ticker), on="date", how="left", maintain_order="left")
    sound = pl.col(INPUT_COLUMNS)
    return table.select("date", pl.when(sound.is_finite()).then(sound))


def need(window: int) -> int:
    """Values that a window must have."""
    return window - int(window * LACKING)


def _index(days: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """What is the index's own."""
    rows = own.select(
        "date", return_1d=pl.col("total_return_1d").log1p(),
        log_range_1d=(pl.col("high_inr") / pl.col("low_inr")).log().log(),
    )  # fmt: skip
    rows = days.join(rows, on="date", how="left", maintain_order="left")
    level = pl.col("return_1d").fill_null(0.0).cum_sum()
    known = pl.col("return_1d").is_not_null()
    return rows.with_columns(
        *(_log_volatility(window) for window in (10, 21, 63)),
        drawdown_252d=pl.when(known).then(level - level.rolling_max(252, min_samples=1)),
        momentum_63d=pl.col("return_1d").rolling_sum(63, min_samples=need(63)),
    )


def _log_volatility(window: int) -> pl.Expr:
    spread = pl.col("return_1d").rolling_std(window, min_samples=need(window))
    # what a constant series leaves of a running sum is rounding, no volatility
    real = pl.when(spread > 1e-9).then(spread * math.sqrt(SESSIONS_PER_YEAR))
    return real.log().alias(f"log_volatility_{window}d")


def _members(days: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Breadth, dispersion and correlation of the members of each day."""
    rows = prices.filter(pl.col("instrument") == EQUITY, ~pl.col("is_filled"), pl.col("total_return_1d").is_not_null())
    spread = pl.col("return").rolling_std(63, min_samples=need(63)).over("ticker")
    rows = rows.select("date", "ticker", "is_member", pl.col("total_return_1d").alias("return")).sort("ticker", "date")
    rows = rows.with_columns(spread=spread).filter("is_member").sort("date", "ticker")
    up, down = (pl.col("return") > 0.0).sum(), (pl.col("return") < 0.0).sum()
    enough = pl.len() >= FEWEST_MEMBERS
    daily = rows.group_by("date", maintain_order=True).agg(
        breadth=pl.when(enough, up + down > 0).then((up.cast(pl.Float64) - down) / (up + down)),
        dispersion=pl.when(enough).then(pl.col("return").std()),
        mean=pl.col("return").mean(),
        n=pl.col("spread").is_not_null().sum(),
        sum_spread=pl.col("spread").sum(),
        sum_square=pl.col("spread").pow(2).sum(),
    )
    daily = days.join(daily, on="date", how="left", maintain_order="left")
    joint = pl.col("mean").rolling_var(63, min_samples=need(63)) * pl.col("n").cast(pl.Float64).pow(2)
    own, cross = pl.col("sum_square"), pl.col("sum_spread").pow(2) - pl.col("sum_square")
    return daily.select(
        "date",
        breadth_21d=pl.col("breadth").rolling_mean(21, min_samples=need(21)),
        log_dispersion_21d=pl.col("dispersion").rolling_mean(21, min_samples=need(21)).log(),
        correlation_63d=pl.when(pl.col("n") >= FEWEST_MEMBERS, cross > 0.0).then(((joint - own) / cross).clip(-1, 1)),
    )


def _vix(prices: pl.DataFrame, ticker: str | None) -> pl.DataFrame:
    rows = prices.filter(pl.col("instrument") == INDEX, pl.col("ticker") == ticker, ~pl.col("is_filled"))
    return rows.select("date", log_vix=(pl.col("close_inr") / 100.0).log())


def daily_embeddings(keys: pl.DataFrame, values: np.ndarray) -> pl.DataFrame:
    """The mean embedding of a date's names, and how far they lie from it.

    Args:
        keys: rows (date, ticker) of `values`, sorted by date.
        values: (R, D).
    Returns:
        `date`, `embedding_000` ... (means, float64) and `embedding_spread` (root mean square distance from the mean).
    """
    table = keys.select("date").with_columns(
        pl.Series(f"embedding_{k:03d}", values[:, k].astype(np.float64)) for k in range(values.shape[1])
    )
    columns = pl.selectors.starts_with("embedding_")
    return table.group_by("date", maintain_order=True).agg(
        columns.mean(), embedding_spread=pl.sum_horizontal(columns.var(ddof=0)).sqrt()
    )
