"""A seeded generator of clean prices with gaps, filled rows, a late listing, a delisting and one market-wide hole."""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions

MakePrices = Callable[..., pl.DataFrame]


def clean_prices(returns: dict[str, Sequence[float | None]], first: date = date(2015, 1, 1)) -> pl.DataFrame:
    """Rows from given one-day returns, one a session from `first` on; None for a filled row, NaN for no row at all."""
    longest = max(len(steps) for steps in returns.values())
    days = sessions(first, date(2026, 12, 31))[:longest]
    rows = [
        {"date": day, "ticker": ticker, "total_return_1d": step, "is_filled": step is None}
        for ticker, steps in returns.items()
        for day, step in zip(days, steps, strict=False)
        if step is None or step == step
    ]
    frame = pl.DataFrame(
        rows, schema={"date": pl.Date, "ticker": pl.String, "total_return_1d": pl.Float64, "is_filled": pl.Boolean}
    )
    return finish(frame)


def finish(frame: pl.DataFrame) -> pl.DataFrame:
    """The other columns of clean prices that features may read, and the first return of each ticker removed."""
    first_row = pl.col("date") == pl.col("date").min().over("ticker")
    frame = frame.sort("date", "ticker").with_columns(
        pl.when(~first_row).then("total_return_1d").alias("total_return_1d"),
        instrument=pl.lit("equity"),
        is_member=pl.lit(True),
        volume_shares=pl.lit(1000, dtype=pl.Int64),
    )
    level = (1.0 + pl.col("total_return_1d").fill_null(0.0)).cum_prod().over("ticker")
    return frame.with_columns(close_inr=100.0 * level)


def random_prices(
    n_tickers: int = 6, n_sessions: int = 700, seed: int = 0, first: date = date(2015, 1, 1), gap_share: float = 0.02
) -> pl.DataFrame:
    """Random tickers T00, T01..; T01 lists late, T02 delists early, T03 has a long halt, all have some gaps."""
    random = np.random.default_rng(seed)
    steps = random.normal(0.0005, 0.02, size=(n_tickers, n_sessions))
    filled = random.random(steps.shape) < gap_share
    absent = random.random(steps.shape) < gap_share / 2
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
            "ticker": [f"T{n:02d}" for n in ticker],
            "total_return_1d": steps[ticker, session],
            "is_filled": filled[ticker, session],
        }
    ).with_columns(pl.when(~pl.col("is_filled")).then("total_return_1d").alias("total_return_1d"))
    return finish(frame)


@pytest.fixture(scope="session")
def make_prices() -> MakePrices:
    return clean_prices


@pytest.fixture(scope="session")
def make_random_prices() -> MakePrices:
    return random_prices
