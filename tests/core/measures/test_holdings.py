"""Exposure, concentration and holding period by hand, with their bounds."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.measures.holdings import average_holding_sessions, concentration, exposure, invested_share

DAY = date(2021, 3, 1)


def book(weights: list[float], day: date = DAY, strategy: str = "a") -> pl.DataFrame:
    tickers = [f"T{k:02d}" for k in range(len(weights))]
    return pl.DataFrame({"date": [day] * len(weights), "strategy": strategy, "ticker": tickers, "weight": weights})


def test_the_invested_share_is_what_is_not_cash_and_nothing_of_an_account_worth_nothing() -> None:
    assert invested_share([25.0, 120.0, 0.0, -10.0], [100.0, 100.0, 0.0, 100.0]).tolist() == [0.75, 0.0, 0.0, 1.0]


def test_concentration_by_hand() -> None:
    row = concentration(book([0.4, 0.2, 0.2])).row(0, named=True)
    assert row["n_holdings"] == 3
    assert row["invested_share"] == pytest.approx(0.8)
    assert row["largest_weight"] == pytest.approx(0.5)
    assert row["hhi"] == pytest.approx(0.25 + 2 * 0.0625)  # (1/2)^2 + 2 x (1/4)^2
    assert row["effective_names"] == pytest.approx(8 / 3)


def test_sessions_and_strategies_are_kept_apart_and_in_order() -> None:
    later = date(2021, 3, 2)
    made = concentration(pl.concat([book([0.5], later, "b"), book([0.1] * 4), book([0.3, 0.3], DAY, "b")]))
    assert made.select("date", "strategy", "n_holdings").rows() == [(DAY, "a", 4), (DAY, "b", 2), (later, "b", 1)]
    assert made["effective_names"].to_list() == pytest.approx([4.0, 2.0, 1.0])


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30), st.floats(0.1, 1.0))
def test_the_effective_number_lies_between_one_and_all_names_and_ignores_cash(weights: list[float], k: float) -> None:
    row = concentration(book(weights)).row(0, named=True)
    assert 1.0 - 1e-9 <= row["effective_names"] <= len(weights) + 1e-9
    assert row["effective_names"] >= 1.0 / row["largest_weight"] - 1e-9
    scaled = concentration(book([k * w for w in weights])).row(0, named=True)
    assert scaled["effective_names"] == pytest.approx(row["effective_names"], rel=1e-9)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf, None])
def test_a_weight_that_is_no_holding_is_refused(bad: float | None) -> None:
    table = book([0.5, 0.1]).with_columns(pl.Series("weight", [0.5, bad], dtype=pl.Float64))
    with pytest.raises(DataError, match="T01"):
        concentration(table)


def test_a_book_that_changes_a_twentieth_a_session_holds_for_twenty_sessions() -> None:
    assert average_holding_sessions([0.05, 0.05]) == pytest.approx(20.0)
    assert average_holding_sessions([0.0, 0.1], [0.4, 0.6]) == pytest.approx(10.0)  # half invested, 5 % a session
    assert math.isnan(average_holding_sessions([0.0, 0.0]))
    assert exposure([0.5, 1.0]) == 0.75
    with pytest.raises(DataError, match="invested shares row 0"):
        exposure(np.array([math.nan]))
