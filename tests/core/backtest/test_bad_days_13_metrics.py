"""The table of measures of the shortest books, and of one that owes money."""

from datetime import date

import polars as pl
import pytest

from quant_core.backtest.metrics import measure
from quant_core.schema import BacktestPositions, BacktestTrades, RoundTrips

DAYS = [date(2021, 1, 4), date(2021, 1, 5)]


def tables(n_days: int, cash_inr: float = 20.0) -> dict[str, pl.DataFrame]:
    """100 on the first close, 110 on the second, `cash_inr` of it in cash."""
    daily = pl.DataFrame({
        "date": DAYS, "strategy": "one", "equity_inr": [100.0, 110.0], "cash_inr": [100.0, cash_inr],
        "simple_return_1d": [0.0, 0.10], "turnover_1d": [0.0, 0.5], "cost_inr": [0.0, 1.0], "n_fills": [0, 1],
        "n_unfilled": [0, 0],
    })  # fmt: skip
    index = pl.DataFrame({"date": DAYS, "simple_return_1d": [0.0, 0.05], "risk_free_return_1d": [0.0, 0.0]})
    index = index.with_columns(series=pl.lit("^NSEI"))
    empty = (BacktestPositions, BacktestTrades, RoundTrips)
    names = ("positions", "trades", "trips")
    return {"daily": daily.head(n_days), "benchmark": index.head(n_days)} | {
        name: schema.create_empty() for name, schema in zip(names, empty, strict=True)
    }


def test_two_sessions_are_a_book_and_a_benchmark_and_one_is_neither() -> None:
    found = measure(**tables(2))
    assert dict(found.select("strategy", "total_return").iter_rows()) == pytest.approx({"one": 0.10, "benchmark": 0.05})
    assert found["n_sessions"].to_list() == [1, 1]
    assert measure(**tables(1)).is_empty()


@pytest.mark.parametrize(("cash_inr", "exposure"), [(22.0, 0.8), (-11.0, 1.0), (121.0, 0.0)])
def test_what_is_invested_is_at_most_everything_and_at_least_nothing(cash_inr: float, exposure: float) -> None:
    assert measure(**tables(2, cash_inr))["exposure"][0] == pytest.approx(exposure)
