"""Rows that come back: which base their return has, what is carried meanwhile, and what their flags say."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)


def cleaned(*rows: dict[str, Any], **config: Any) -> pl.DataFrame:
    """March's rows of TCS; another name trades every session, so that an absence is an absence."""
    market = [bar(day, 50.0 + n % 2, "INFY") for n, day in enumerate(DAYS)]
    prices = clean(raw(*market, *rows), None, CleaningConfig(**config), START, END).prices
    return prices.filter(pl.col("ticker") == "TCS")


def flags(*rows: dict[str, Any]) -> list[set[str]]:
    sound = cleaned(*rows).filter(~pl.col("is_filled"))
    return [set(text.split("|")) - {""} for text in sound["flags"]]


@pytest.mark.parametrize(
    ("open_inr", "expected"), [(125.0, 0.25), (125.1, None), (75.0, -0.25), (74.9, None), (101.0, 0.01)]
)
def test_a_first_row_is_measured_against_the_exchanges_close_within_a_quarter_of_it(
    open_inr: float, expected: float | None
) -> None:
    row = cleaned(bar(DAYS[0], open_inr, prev_close_inr=100.0)).row(0, named=True)
    wanted = None if expected is None else pytest.approx(expected)
    assert (row["overnight_return_1d"], row["total_return_1d"]) == (wanted, wanted)
    assert row["intraday_return_1d"] == pytest.approx(0.0)


def test_the_last_close_is_the_base_whatever_the_exchange_states_of_an_ordinary_day() -> None:
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], 102.0, prev_close_inr=101.5))
    assert table["total_return_1d"][1] == pytest.approx(0.02)


def test_a_return_over_more_than_one_session_is_flagged_and_one_over_one_is_not() -> None:
    rows = [bar(day, 100.0 + n) for n, day in enumerate((DAYS[0], DAYS[1], DAYS[3], DAYS[4]))]
    assert flags(*rows) == [set(), set(), {"gap"}, set()]


@pytest.mark.parametrize(
    ("series", "delivered"), [("BE", True), ("BZ", True), ("T", True), ("EQ", False), (None, False)]
)
def test_series_of_full_delivery_are_flagged_and_stay_tradable(series: str | None, delivered: bool) -> None:
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], 101.0, series=series)).filter(~pl.col("is_filled"))
    assert ("trade_to_trade" in table["flags"][1]) == delivered
    assert table["is_tradable"].to_list() == [True, True]


@pytest.mark.parametrize(("limit", "carried"), [(0, 0), (1, 1), (5, 5), (6, 6), (40, 6)])
def test_a_close_is_carried_through_an_absence_up_to_the_limit(limit: int, carried: int) -> None:
    """Six sessions are missing, then the name is back and trades to the end."""
    rows = [bar(day, 100.0 + n) for n, day in enumerate(DAYS) if n == 0 or n > 6]
    filled = cleaned(*rows, ffill_limit=limit).filter("is_filled")
    assert filled["date"].to_list() == DAYS[1 : 1 + carried]
    assert filled["close_inr"].unique().to_list() in ([100.0], [])


@pytest.mark.parametrize(("days_before", "is_joined"), [(95, True), (96, False)])
def test_adjusted_and_unadjusted_rows_are_compared_up_to_95_days_apart(days_before: int, is_joined: bool) -> None:
    """The source joins the levels (a factor of 2 here) for rows that near; beyond, the row before has another basis."""
    back = next(day for day in DAYS if day - timedelta(days=days_before) in ADJUSTED_DAYS)
    adjusted = bar(back - timedelta(days=days_before), 50.0, basis="split_adjusted")
    table = cleaned(adjusted, bar(back, 102.0, price_factor=2.0)).filter(pl.col("date") == back)
    assert table["total_return_1d"].to_list() == [pytest.approx(0.02) if is_joined else None]


ADJUSTED_DAYS = set(sessions(date(2020, 11, 1), date(2020, 12, 31)))


def test_a_dividend_on_a_row_without_an_open_is_earned_in_its_session() -> None:
    row = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], 98.0, open_inr=None, dividend_inr=3.0)).row(1, named=True)
    assert (row["overnight_return_1d"], row["dividend_return_1d"]) == (0.0, 0.0)
    assert row["intraday_return_1d"] == row["total_return_1d"] == pytest.approx(0.01)


@pytest.mark.parametrize(("close", "expected"), [(101.0, 0.01), (126.0, None)])
def test_a_first_row_without_an_open_is_trusted_by_its_close(close: float, expected: float | None) -> None:
    row = cleaned(bar(DAYS[0], close, open_inr=None, prev_close_inr=100.0)).row(0, named=True)
    assert row["total_return_1d"] == (None if expected is None else pytest.approx(expected))
