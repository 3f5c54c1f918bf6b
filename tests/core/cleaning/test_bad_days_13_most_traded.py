"""The liquidity rule against a loop over names and sessions, and at its edges."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.cleaning.most_traded import LiquidityRule, liquid_months
from quant_core.schema import EQUITY

FEBRUARY, MARCH, APRIL = date(2021, 2, 1), date(2021, 3, 1), date(2021, 4, 1)


def traded(days: list[date], **rupees: list[float | None]) -> pl.DataFrame:
    """Rows of rupees traded by name, one a session; None is a session without a row."""
    rows = [
        (day, name, EQUITY, 1.0, None, value)
        for name, values in rupees.items()
        for day, value in zip(days, values, strict=True)
        if value is not None
    ]
    schema = {
        "date": pl.Date, "ticker": pl.String, "instrument": pl.String, "close_inr": pl.Float64,
        "volume_shares": pl.Int64, "turnover_inr": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def members(rows: pl.DataFrame, month: date = MARCH, **rule: object) -> list[str]:
    found = liquid_months(rows, LiquidityRule(**{"lookback_months": 1} | rule), [month])  # type: ignore[arg-type]
    assert found["month"].unique().to_list() in ([month], [])
    return found["ticker"].to_list()


def looped(rows: pl.DataFrame, rule: LiquidityRule, month: date) -> list[str]:
    """Members by the definition: the upper of the two middle values, absent sessions being zeros; most first."""
    years, before = divmod(month.year * 12 + month.month - 1 - rule.lookback_months, 12)
    begin = date(years, before + 1, 1)
    window = [row for row in rows.iter_rows(named=True) if begin <= row["date"] < month]
    days = sorted({row["date"] for row in window})
    values: dict[str, list[float]] = {}
    for row in window:
        values.setdefault(row["ticker"], []).append(row["turnover_inr"])
    medians = {
        name: sorted([*own, *[0.0] * (len(days) - len(own))])[(len(days) - 1) // 2] for name, own in values.items()
    }
    liquid = [(-median, name) for name, median in medians.items() if median > 0 and median >= rule.min_turnover_inr]
    return [name for _, name in sorted(liquid)][: rule.top_n]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lookback", [1, 2, 3])
def test_members_are_those_of_the_definition(seed: int, lookback: int) -> None:
    rng = np.random.default_rng(seed)
    days = sessions(date(2020, 11, 1), date(2021, 4, 30))[seed % 2 :]
    values = {
        f"S{k}": [
            float(v) if keep else None
            for v, keep in zip(rng.integers(1, 6, len(days)), rng.random(len(days)) < 0.3 + 0.1 * k, strict=True)
        ]
        for k in range(7)
    }
    rows = traded(days, **values)
    rule = LiquidityRule(top_n=3, lookback_months=lookback, min_turnover_inr=float(seed % 3))
    for month in (MARCH, APRIL):
        found = liquid_months(rows, rule, [month])["ticker"].to_list()
        assert found == looped(rows, rule, month)


def test_equal_names_are_chosen_in_the_order_of_their_tickers() -> None:
    days = sessions(FEBRUARY, date(2021, 2, 28))
    rows = traded(days, C=[5.0] * 20, A=[5.0] * 20, B=[5.0] * 20)
    assert members(rows, top_n=2) == ["A", "B"]


def test_the_least_turnover_itself_is_enough_and_nothing_traded_is_not() -> None:
    days = sessions(FEBRUARY, date(2021, 2, 28))
    rows = traded(days, A=[5.0] * 20, B=[4.9] * 20, C=[0.0] * 20)
    assert members(rows, min_turnover_inr=5.0) == ["A"]
    assert members(rows) == ["A", "B"]


def test_the_window_begins_on_the_first_day_of_its_first_month_and_ends_before_the_month() -> None:
    """Two sessions inside, 1 and 26 February; what was traded on the days beside them does not count."""
    inside = [date(2021, 2, 1), date(2021, 2, 26)]
    outside = [date(2021, 1, 29), date(2021, 3, 1)]
    rows = pl.concat([traded(inside, A=[3.0, 3.0], B=[2.0, 2.0]), traded(outside, A=[1.0, 1.0], B=[9.0, 9.0])])
    assert members(rows, top_n=1) == ["A"]
    assert members(traded(inside[:1], A=[3.0])) == ["A"]
    assert members(traded(outside, A=[3.0, 3.0])) == []


def test_half_of_the_sessions_without_a_row_is_too_few_of_an_odd_number_only() -> None:
    days = sessions(FEBRUARY, date(2021, 2, 28))
    half = [5.0, None] * 10
    assert members(traded(days, A=half, B=[1.0] * 20)) == ["B"]
    assert members(traded(days, A=[*half[:19], 5.0], B=[1.0] * 20)) == ["A", "B"]


def test_indices_and_funds_are_no_members_and_shares_times_price_stand_in_for_missing_turnover() -> None:
    days = sessions(FEBRUARY, date(2021, 2, 28))
    rows = traded(days, A=[5.0] * 20, GOLDBEES=[50.0] * 20, LIQUIDETF=[50.0] * 20, NIFTY=[90.0] * 20)
    rows = rows.with_columns(instrument=pl.when(ticker="NIFTY").then(pl.lit("index")).otherwise("instrument"))
    counted = traded(days, D=[None] * 19 + [1.0]).head(0)
    other = traded(days, D=[1.0] * 20).with_columns(
        close_inr=3.0, volume_shares=pl.lit(2, pl.Int64), turnover_inr=pl.lit(None, pl.Float64)
    )
    assert members(pl.concat([rows, counted, other])) == ["D", "A"]


def test_months_come_in_order_and_the_rule_is_the_documented_one() -> None:
    days = sessions(FEBRUARY, date(2021, 3, 31))
    found = liquid_months(traded(days, A=[5.0] * len(days)), LiquidityRule(), [APRIL, MARCH])
    assert found.rows() == [(MARCH, "A"), (APRIL, "A")]
    rule = LiquidityRule()
    assert (rule.top_n, rule.lookback_months, rule.min_turnover_inr) == (500, 3, 0.0)


def test_a_row_without_rupees_and_shares_is_a_session_without_trade() -> None:
    days = sessions(FEBRUARY, date(2021, 2, 28))
    rows = traded(days, A=[9.0] * 20, B=[1.0] * 20)
    silent = pl.when((pl.col("ticker") == "A") & (pl.col("date") >= days[9])).then(None).otherwise("turnover_inr")
    assert members(rows.with_columns(turnover_inr=silent)) == ["B"]
