"""Without an index, or where it is not known, nothing is measured against zeros: blanks instead of numbers."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.backtest.benchmark import benchmark_returns
from quant_core.backtest.by_regime import BENCHMARK, performance_by_regime
from quant_core.backtest.metrics import measure
from quant_core.backtest.notes import NO_BENCHMARK, benchmark_notes
from quant_core.measures import performance as p
from quant_core.measures.known_days import known_days
from quant_core.measures.luck import histories
from quant_core.report.series import BENCHMARK_KEY, wide_returns

TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"
DAYS = calendar.sessions(date(2021, 1, 1), date(2021, 6, 30))
CASH_1D = 0.0001


def prices(first: int, last: int) -> pl.DataFrame:
    """Index rows of the sessions `first` to `last`, both included; none where first > last."""
    earned = np.random.default_rng(3).normal(0.0005, 0.01, len(DAYS))
    kept = range(first, last + 1)
    return pl.DataFrame(
        {"date": [DAYS[k] for k in kept], "ticker": NIFTY, "is_filled": False,
         "total_return_1d": [None if k == first else float(earned[k]) for k in kept]},
        schema={"date": pl.Date, "ticker": pl.String, "is_filled": pl.Boolean, "total_return_1d": pl.Float64},
    )  # fmt: skip


def daily() -> pl.DataFrame:
    returns = np.concatenate([[0.0], np.random.default_rng(5).normal(0.001, 0.012, len(DAYS) - 1)])
    equity = 100.0 * np.cumprod(1.0 + returns)
    return pl.DataFrame(
        {"date": DAYS, "strategy": "one", "equity_inr": equity, "cash_inr": 0.0, "simple_return_1d": returns,
         "turnover_1d": 0.0, "cost_inr": 0.0, "n_fills": 0, "n_unfilled": 0},
    )  # fmt: skip


def measured(first: int, last: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The benchmark of an index known from session `first` to `last`, and the measures."""
    benchmark = benchmark_returns(prices(first, last), DAYS, TRI, NIFTY, CASH_1D)
    positions = pl.DataFrame(schema={"date": pl.Date, "strategy": pl.String, "ticker": pl.String, "weight": pl.Float64})
    trades = pl.DataFrame(schema={"strategy": pl.String, "decision_date": pl.Date, "value_inr": pl.Float64})
    trips = pl.DataFrame(schema={"strategy": pl.String, "exit_date": pl.Date, "pnl_inr": pl.Float64,
                                 "simple_return": pl.Float64, "n_sessions": pl.Int64})  # fmt: skip
    return benchmark, measure(daily(), positions, trades, trips, benchmark)


def test_without_an_index_every_measure_against_it_is_blank_and_it_has_no_row() -> None:
    benchmark, table = measured(1, 0)
    assert known_days(benchmark).is_empty()
    assert table["strategy"].to_list() == ["one"]
    assert table.select(p.AGAINST).row(0) == (None,) * len(p.AGAINST)
    assert table["sharpe_ann"].item() is not None
    assert benchmark_notes(benchmark) == [NO_BENCHMARK]
    assert histories(daily(), benchmark)["benchmark_return_1d"].null_count() == len(DAYS) - 1
    assert wide_returns(daily(), benchmark)[BENCHMARK_KEY].null_count() == len(DAYS)


@pytest.mark.parametrize(("first", "last"), [(40, len(DAYS) - 1), (0, 60), (30, 80)])
def test_an_index_known_for_a_part_is_compared_with_over_that_part(first: int, last: int) -> None:
    benchmark, table = measured(first, last)
    own, index = table.rows(named=True)
    span = slice(first + 1, last + 1)  # the first day with a value opens the curve
    returns = daily()["simple_return_1d"].to_numpy()[span]
    other = benchmark["simple_return_1d"].to_numpy()[span]
    assert own["beta"] == pytest.approx(p.beta(returns, other, CASH_1D))
    assert own["alpha_ann"] == pytest.approx(p.alpha(returns, other, CASH_1D))
    assert own["up_capture"] == pytest.approx(p.up_capture(returns, other))
    assert (index["first_date"], index["last_date"], index["n_sessions"]) == (DAYS[first], DAYS[last], last - first)
    assert index["sharpe_ann"] == pytest.approx(p.sharpe(other, CASH_1D))
    assert own["n_sessions"] == len(DAYS) - 1
    assert f"The benchmark is known from {DAYS[first]} to {DAYS[last]} only" in " ".join(benchmark_notes(benchmark))
    assert wide_returns(daily(), benchmark).drop_nulls(BENCHMARK_KEY)["date"].to_list() == DAYS[first : last + 1]


def test_a_regime_has_no_benchmark_of_zeros() -> None:
    regimes = pl.DataFrame({"date": DAYS, "regime": ["Bull"] * len(DAYS)})
    for first, last, expected in ((1, 0, ["one"]), (0, len(DAYS) - 1, [BENCHMARK, "one"])):
        benchmark = benchmark_returns(prices(first, last), DAYS, TRI, NIFTY, CASH_1D)
        assert performance_by_regime(daily(), benchmark, regimes)["strategy"].to_list() == expected


def test_gaps_between_known_days_stay_spanned_by_the_next_one() -> None:
    benchmark = benchmark_returns(prices(0, 80).filter(pl.col("date") != DAYS[20]), DAYS, TRI, NIFTY, CASH_1D)
    assert known_days(benchmark)["date"].to_list() == DAYS[:81]
    assert known_days(benchmark.drop("series")).height == len(DAYS)
