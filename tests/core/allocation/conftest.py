"""A small market with every trouble that strategies meet, and the certificate that each registered one must pass."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
from allocation_cases import loose

from quant_core import calendar
from quant_core.allocation import AllocationConfig
from quant_core.allocation.strategy import decision_inputs
from quant_core.allocation.targets import decide
from quant_core.causality import assert_causal
from quant_core.schema import Forecasts, validate

TICKERS = [f"S{k:02d}" for k in range(12)]
START, END = date(2020, 7, 1), date(2021, 4, 30)


def make_prices(start: date = START, end: date = END, seed: int = 0, tradable: float = 0.9) -> pl.DataFrame:
    """Columns of CleanPrices that strategies read. S10 is listed late, S11 stops trading early; returns have gaps."""
    rng = np.random.default_rng(seed)
    days = calendar.sessions(start, end)
    market = rng.normal(0.0005, 0.01, len(days))
    frames = []
    for k, ticker in enumerate(TICKERS):
        returns = (0.5 + 0.1 * k) * market + rng.normal(0.0001 * (k - 5), 0.008 + 0.002 * (k % 5), len(days))
        gap = rng.random(len(days)) < 0.03
        frame = pl.DataFrame({
            "date": days, "ticker": ticker, "instrument": "equity", "close_inr": 100 * np.cumprod(1 + returns),
            "volume_shares": rng.integers(1_000, 9_000, len(days)) * (1 + (7 * k) % 12),
            "turnover_inr": pl.Series([None] * len(days), dtype=pl.Float64),
            "total_return_1d": pl.Series(returns).set(pl.Series(gap), None),
            "is_member": rng.random(len(days)) < 0.9, "is_filled": gap,
            "is_tradable": ~gap & (rng.random(len(days)) < tradable),
        })  # fmt: skip
        listed, gone = (date(2020, 10, 5), end) if k == 10 else (start, date(2021, 3, 10) if k == 11 else end)
        frames.append(frame.filter(pl.col("date").is_between(listed, gone)))
    index = frames[0].with_columns(
        ticker=pl.lit("^NSEI"), instrument=pl.lit("index"), total_return_1d=pl.Series(market),
        is_member=pl.lit(False), is_tradable=pl.lit(False), is_filled=pl.lit(False),
    )  # fmt: skip
    return pl.concat([*frames, index]).sort("date", "ticker")


def make_forecasts(
    prices: pl.DataFrame, models: tuple[str, ...] = ("boosting", "ridge"), seed: int = 1
) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    stocks = prices.filter(pl.col("instrument") == "equity").select("date", "ticker")
    tables = [
        stocks.with_columns(
            model=pl.lit(model),
            fold=pl.lit("2021"),
            fit_end=pl.lit(date(2020, 6, 30)),
            horizon_sessions=pl.lit(5, pl.Int32),
            score=pl.Series(np.round(rng.normal(0, 1, len(stocks)), 1)),  # rounded, so that ties occur
        )
        for model in models
    ]
    table = pl.concat([Forecasts.create_empty(), *tables], how="diagonal")
    return validate(table.sort("date", "ticker", "model"), Forecasts, "test", "fix the test")


def certify(name: str, prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig, cut: date) -> None:
    """Raise unless the strategy's decisions up to `cut` are the same whatever prices or forecasts say after it."""
    start, end, keys = date(2020, 12, 1), END, ("date", "strategy", "ticker")

    def from_prices(known: pl.DataFrame) -> pl.DataFrame:
        return decide(name, decision_inputs(known, forecasts, config, start, end))

    def from_forecasts(known: pl.DataFrame) -> pl.DataFrame:
        return decide(name, decision_inputs(prices, known, config, start, end))

    assert_causal(from_prices, prices, cut, keys=keys, atol=0.0)
    assert_causal(from_forecasts, forecasts, cut, keys=keys, atol=0.0)


@pytest.fixture(scope="session")
def prices() -> pl.DataFrame:
    return make_prices()


@pytest.fixture(scope="session")
def forecasts(prices: pl.DataFrame) -> pl.DataFrame:
    return make_forecasts(prices)


@pytest.fixture(scope="session")
def short() -> AllocationConfig:
    """Windows short enough for the small market; fewer names for the optimisers than there are."""
    return loose(top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, optimiser_names=9)


@pytest.fixture(scope="session")
def certificate() -> Callable[..., None]:
    return certify


@pytest.fixture(scope="session")
def market() -> Callable[..., pl.DataFrame]:
    """The generator of the small market."""
    return make_prices
