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
from quant_core.schema import CASH, REGIME_PROBABILITIES, Forecasts, RegimeBooks, Regimes, validate
from quant_core.schema.regimes import BEAR, CRISIS, HIGH_VOL_BULL, LOW_VOL_BULL

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


def make_regimes(first: date = date(2020, 10, 1), last: date = END, seed: int = 2) -> pl.DataFrame:
    """Regimes of two methods in quarters, each session's most probable name kept for some weeks."""
    rng = np.random.default_rng(seed)
    days = calendar.sessions(first, last)
    names = list(REGIME_PROBABILITIES)
    tables = []
    for method in ("hmm", "jump"):
        base = rng.dirichlet(np.full(5, 0.4), len(days) // 12 + 1).repeat(12, axis=0)[: len(days)]
        probability = 0.9 * base + 0.1 * rng.dirichlet(np.ones(5), len(days))
        best = probability.argmax(axis=1)
        folds = [f"{day.year}-{(day.month - 1) // 3 * 3 + 1:02d}" for day in days]
        ends = [date(day.year - (day.month <= 3), (day.month - 1) // 3 * 3 or 12, 28) for day in days]
        tables.append(
            pl.DataFrame({
                "date": days, "method": method, "fold": folds, "fit_end": ends, "regime": [names[k] for k in best],
                "state": best.astype(np.int32),
                **{column: probability[:, k] for k, column in enumerate(REGIME_PROBABILITIES.values())},
                "entropy": -(probability * np.log(probability)).sum(axis=1),
                "sessions_in_regime": np.ones(len(days), dtype=np.int32),
            })
        )  # fmt: skip
    return validate(pl.concat(tables).sort("date", "method"), Regimes, "test", "fix the test")


def make_regime_books(regimes: pl.DataFrame) -> pl.DataFrame:
    """Another book a regime; none for Transition."""
    books = {LOW_VOL_BULL: "momentum", HIGH_VOL_BULL: "min_variance", BEAR: CASH, CRISIS: "inverse_volatility"}
    folds = regimes.select("fold", "fit_end").unique().sort("fold")
    rows = [
        {"fold": fold, "regime": regime, "strategy": book, "fit_end": end, "n_sessions": 100, "sharpe_ann": 1.0,
         "is_chosen": book == books[regime]}
        for fold, end in folds.iter_rows() for regime in books for book in ("equal_weight", *books.values())
    ]  # fmt: skip
    schema = {name: column.dtype for name, column in RegimeBooks.columns().items()}
    return validate(pl.DataFrame(rows, schema=schema), RegimeBooks, "test", "fix the test")


def certify(
    name: str, prices: pl.DataFrame, forecasts: pl.DataFrame, config: AllocationConfig, cut: date,
    regimes: pl.DataFrame | None = None,
) -> None:  # fmt: skip
    """Raise unless the strategy's decisions up to `cut` are the same whatever any of its tables says after it."""
    start, end, keys = date(2020, 12, 1), END, ("date", "strategy", "ticker")

    books = None if regimes is None else make_regime_books(regimes)

    def from_prices(known: pl.DataFrame) -> pl.DataFrame:
        return decide(name, decision_inputs(known, forecasts, config, start, end, regimes, books))

    def from_forecasts(known: pl.DataFrame) -> pl.DataFrame:
        return decide(name, decision_inputs(prices, known, config, start, end, regimes, books))

    def from_regimes(known: pl.DataFrame) -> pl.DataFrame:
        return decide(name, decision_inputs(prices, forecasts, config, start, end, known, books))

    assert_causal(from_prices, prices, cut, keys=keys, atol=0.0)
    assert_causal(from_forecasts, forecasts, cut, keys=keys, atol=0.0)
    if regimes is not None:  # a regime without numbers is none: the table's contract refuses it
        assert_causal(from_regimes, regimes, cut, keys=keys, atol=0.0, how=("truncate", "shuffle"))


@pytest.fixture(scope="session")
def prices() -> pl.DataFrame:
    return make_prices()


@pytest.fixture(scope="session")
def forecasts(prices: pl.DataFrame) -> pl.DataFrame:
    return make_forecasts(prices)


@pytest.fixture(scope="session")
def regimes() -> pl.DataFrame:
    return make_regimes()


@pytest.fixture(scope="session")
def regime_books(regimes: pl.DataFrame) -> pl.DataFrame:
    return make_regime_books(regimes)


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
