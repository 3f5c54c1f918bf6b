"""A seeded generator of clean prices with gaps, filled rows, a late listing, a delisting and one market-wide hole."""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions

MakePrices = Callable[..., pl.DataFrame]
INDEX = "^NSEI"
VALUES = ("total_return_1d", "overnight_return_1d", "intraday_return_1d", "volume_shares", "turnover_inr")


def clean_prices(
    returns: dict[str, Sequence[float | None]], first: date = date(2015, 1, 1), **columns: Sequence[float | None]
) -> pl.DataFrame:
    """Rows from given one-day returns, one a session from `first` on; None for a filled row, NaN for no row at all.

    A ticker named ^NSEI is the market index. `columns` replace values of every ticker, one a session.
    """
    longest = max(len(steps) for steps in returns.values())
    days = sessions(first, date(2026, 12, 31))[:longest]
    rows = [
        {"date": day, "ticker": ticker, "total_return_1d": step, "is_filled": step is None, "session": session}
        for ticker, steps in returns.items()
        for session, (day, step) in enumerate(zip(days, steps, strict=False))
        if step is None or step == step
    ]
    schema = {
        "date": pl.Date,
        "ticker": pl.String,
        "total_return_1d": pl.Float64,
        "is_filled": pl.Boolean,
        "session": pl.Int64,
    }
    frame = finish(pl.DataFrame(rows, schema=schema))
    for name, values in columns.items():
        given = pl.DataFrame({"session": range(len(values)), name: pl.Series(values, dtype=frame.schema[name])})
        frame = frame.drop(name).join(given, on="session", how="left")
    return frame.drop("session").sort("date", "ticker")


def finish(frame: pl.DataFrame) -> pl.DataFrame:
    """The other columns of clean prices that features may read, and the first return of each ticker removed.

    Half of each day's log return happens overnight; the bar reaches 1 % beyond open and close; 1000 shares trade.
    """
    first_row = pl.col("date") == pl.col("date").min().over("ticker")
    is_index = pl.col("ticker") == INDEX
    half = (1.0 + pl.col("total_return_1d")).sqrt()
    level = (1.0 + pl.col("total_return_1d").fill_null(0.0)).cum_prod().over("ticker")
    frame = frame.sort("ticker", "date").with_columns(
        instrument=pl.when(is_index).then(pl.lit("index")).otherwise(pl.lit("equity")),
        is_member=~is_index,
        volume_shares=pl.lit(1000, dtype=pl.Int64),
        close_inr=100.0 * level,
        open_inr=100.0 * level / half.fill_null(1.0),
        overnight_return_1d=half - 1.0,
        intraday_return_1d=half - 1.0,
    )
    frame = frame.with_columns(
        high_inr=1.01 * pl.max_horizontal("open_inr", "close_inr"),
        low_inr=0.99 * pl.min_horizontal("open_inr", "close_inr"),
        turnover_inr=pl.col("volume_shares") * (pl.col("open_inr") + pl.col("close_inr")) / 2.0,
    )
    frame = frame.with_columns(pl.when(~pl.col("is_filled")).then(name).alias(name) for name in VALUES)
    dated = [pl.when(~first_row).then(name).alias(name) for name in VALUES[:3]]
    return frame.with_columns(dated).sort("date", "ticker")


def random_prices(
    n_tickers: int = 6, n_sessions: int = 700, seed: int = 0, first: date = date(2015, 1, 1), gap_share: float = 0.02,
    lost_session: bool = True,
) -> pl.DataFrame:  # fmt: skip
    """Random tickers T00, T01.. and the index; all have gaps.

    T01 lists late, T02 delists early, T03 has a long halt, T04 joins the universe halfway.
    """
    random = np.random.default_rng(seed)
    steps = random.normal(0.0005, 0.02, size=(n_tickers + 1, n_sessions))
    steps += 0.7 * steps[-1]
    filled = random.random(steps.shape) < gap_share
    absent = random.random(steps.shape) < gap_share / 2
    filled[-1] = False
    if lost_session:
        absent[:, n_sessions // 2] = True  # the vendor misses one session for the whole market
    if n_tickers > 1:
        absent[1, : n_sessions // 3] = True
    if n_tickers > 2:
        absent[2, 2 * n_sessions // 3 :] = True
    if n_tickers > 3:
        filled[3, n_sessions // 2 - 45 : n_sessions // 2 - 5] = True
    days = sessions(first, date(2026, 12, 31))[:n_sessions]
    ticker, session = np.nonzero(~absent)
    frame = pl.DataFrame(
        {
            "date": pl.Series([days[s] for s in session], dtype=pl.Date),
            "ticker": [INDEX if n == n_tickers else f"T{n:02d}" for n in ticker],
            "total_return_1d": steps[ticker, session],
            "is_filled": filled[ticker, session],
        }
    ).with_columns(pl.when(~pl.col("is_filled")).then("total_return_1d").alias("total_return_1d"))
    joined = (pl.col("ticker") != "T04") | (pl.col("date") >= days[n_sessions // 2])
    return _roughen(finish(frame), random).with_columns(is_member=pl.col("is_member") & joined)


def _roughen(frame: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Random volumes and ranges; some volumes are zero, some opens and turnovers are missing."""
    n = frame.height
    volume = np.where(random.random(n) < 0.02, 0, random.integers(100, 10_000, n))
    wide = 1.0 + np.abs(random.normal(0.0, 0.01, n))
    sound = ~pl.col("is_filled")
    frame = frame.with_columns(
        volume_shares=pl.when(sound).then(pl.Series(volume)),
        high_inr=pl.col("high_inr") * wide,
        low_inr=pl.col("low_inr") / wide,
    )
    traded = pl.col("volume_shares") * (pl.col("open_inr") + pl.col("close_inr")) / 2.0
    return frame.with_columns(
        turnover_inr=pl.when(sound & pl.Series(random.random(n) < 0.9)).then(traded),
        open_inr=pl.when(pl.Series(random.random(n) < 0.99)).then("open_inr"),
    )


@pytest.fixture(scope="session")
def make_prices() -> MakePrices:
    return clean_prices


@pytest.fixture(scope="session")
def make_random_prices() -> MakePrices:
    return random_prices


@pytest.fixture(scope="session")
def sectors() -> pl.DataFrame:
    """T00..T03 are banks, T04 makes steel; T05 is unknown."""
    return pl.DataFrame({"ticker": ["T00", "T01", "T02", "T03", "T04"], "sector": ["Banks"] * 4 + ["Steel"]})
