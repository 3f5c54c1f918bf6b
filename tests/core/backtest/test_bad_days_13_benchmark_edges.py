"""The benchmark at its edges: which year its dividend yield is of, from how many sessions on, what has no value yet."""

from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.backtest.benchmark import benchmark_returns

TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"
DAYS = calendar.sessions(date(2018, 1, 1), date(2020, 12, 31))
Rows = list[tuple[int, float]]


def rows(ticker: str, levels: Rows, filled: tuple[int, ...] = ()) -> pl.DataFrame:
    """Index rows from (session, level): each return spans from the row before."""
    values = [level for _, level in levels]
    earned = [None, *(b / a - 1 for a, b in pairwise(values))][: len(values)]
    types = {"date": pl.Date, "total_return_1d": pl.Float64, "is_filled": pl.Boolean}
    table = [(DAYS[k], value, k in filled) for (k, _), value in zip(levels, earned, strict=True)]
    return pl.DataFrame(table, schema=types, orient="row").with_columns(ticker=pl.lit(ticker))


def found(total: Rows, price: Rows, until: int, **more: object) -> pl.DataFrame:
    table = pl.concat([rows(TRI, total), rows(NIFTY, price)]).sort("date", "ticker")
    return benchmark_returns(table, DAYS[: until + 1], TRI, NIFTY, **more)  # type: ignore[arg-type]


def test_the_dividend_yield_is_of_the_252_sessions_up_to_the_last_one_with_both_indices() -> None:
    """Nothing is paid for 300 sessions, then 0.0001 a session for 252: one session more or less is another yield."""
    paid = np.concatenate([np.zeros(300), np.full(252, 1e-4)])
    total = list(enumerate(np.concatenate([[1.0], np.cumprod(1 + paid)])))
    price = [(k, 1.0) for k in range(len(total) + 2)]
    table = found(total, price, len(total) + 1)
    assert table["series"][-2:].to_list() == [TRI + " (provisional)"] * 2
    assert table["simple_return_1d"][-2:].to_list() == pytest.approx([1e-4, 1e-4], rel=1e-9)
    later = [*total, (len(total), total[-1][1])]  # one session without a dividend moves the year by one
    price = [(k, 1.0) for k in range(len(later) + 1)]
    expected = (1 + 1e-4) ** (251 / 252) - 1
    assert found(later, price, len(later))["simple_return_1d"][-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("sessions", "earned"), [(63, 1e-3), (62, 0.0)])
def test_a_yield_needs_sixty_three_sessions(sessions: int, earned: float) -> None:
    total = [(k, 1.001**k) for k in range(sessions + 1)]
    price = [(k, 1.0) for k in range(sessions + 2)]
    assert found(total, price, sessions + 1)["simple_return_1d"][-1] == pytest.approx(earned, abs=1e-12)


def test_sessions_before_any_index_are_none_and_a_lost_one_of_the_price_index_is_carried() -> None:
    table = found([], [(2, 10.0), (3, 11.0), (5, 12.1)], 6)
    assert table["series"].to_list() == [
        "none",
        "none",
        NIFTY,
        NIFTY,
        NIFTY + " (carried)",
        NIFTY,
        NIFTY + " (carried)",
    ]
    assert table["simple_return_1d"].to_list() == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.0, 0.1, 0.0])


def test_a_filled_row_of_an_index_is_no_row() -> None:
    price = rows(NIFTY, [(0, 10.0), (1, 11.0), (2, 12.1)], filled=(1,)).with_columns(
        total_return_1d=pl.when("is_filled").then(None).otherwise(pl.Series([None, None, 0.21]))
    )
    table = benchmark_returns(price, DAYS[:3], TRI, NIFTY)
    assert table["series"].to_list() == [NIFTY, NIFTY + " (carried)", NIFTY]
    assert table["simple_return_1d"].to_list() == pytest.approx([0.0, 0.0, 0.21])


def test_cash_is_the_rate_of_each_session_and_nothing_on_the_first() -> None:
    price = [(k, 10.0) for k in range(3)]
    assert found([], price, 2)["risk_free_return_1d"].to_list() == [0.0, 0.0, 0.0]
    assert found([], price, 2, risk_free_return_1d=0.01)["risk_free_return_1d"].to_list() == [0.0, 0.01, 0.01]
    rates = np.array([0.5, 0.02, 0.03])
    assert found([], price, 2, risk_free_return_1d=rates)["risk_free_return_1d"].to_list() == [0.0, 0.02, 0.03]
    assert rates[0] == 0.5


def test_rows_before_and_after_the_sessions_asked_for_earn_nothing() -> None:
    price = [(k, 10.0 * 1.1**k) for k in range(6)]
    table = pl.concat([rows(TRI, []), rows(NIFTY, price)])
    inside = benchmark_returns(table, DAYS[2:5], TRI, NIFTY)
    assert inside["simple_return_1d"].to_list() == pytest.approx([0.0, 0.1, 0.1])
    assert inside["date"].to_list() == DAYS[2:5]


def test_one_session_with_both_indices_is_enough_to_be_provisional_after_it() -> None:
    table = found([(0, 7.0)], [(0, 10.0), (1, 11.0), (2, 12.1)], 2)
    assert table["series"].to_list() == [TRI, TRI + " (provisional)", TRI + " (provisional)"]
    assert table["simple_return_1d"].to_list() == pytest.approx([0.0, 0.1, 0.1])
