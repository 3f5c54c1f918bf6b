"""Members by rupees traded in the months before."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.cleaning.most_traded import LiquidityRule
from quant_core.errors import DataError

FIRST, START, END = date(2020, 12, 1), date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(FIRST, END)


def members(table: pl.DataFrame, rule: LiquidityRule, intervals: pl.DataFrame | None = None) -> list[str]:
    prices = clean(table, intervals, CleaningConfig(), START, END, liquidity=rule).prices
    return prices.filter("is_member")["ticker"].unique().sort().to_list()


def traded(ticker: str, shares: int, days: list[date] = DAYS, **over) -> list[dict]:
    return [bar(day, 100.0, ticker, volume_shares=shares, **over) for day in days]


MARKET = raw(*traded("AAA", 50), *traded("BBB", 90), *traded("CCC", 10), *traded("LIQUIDBEES", 5000))


def test_the_most_traded_are_members_and_funds_are_not() -> None:
    assert members(MARKET, LiquidityRule(top_n=2)) == ["AAA", "BBB"]
    assert members(MARKET, LiquidityRule(top_n=2, exclude="")) == ["BBB", "LIQUIDBEES"]


def test_turnover_is_preferred_to_price_times_volume() -> None:
    rich = raw(*traded("AAA", 50), *traded("BBB", 1, turnover_inr=1e9))
    assert members(rich, LiquidityRule(top_n=1)) == ["BBB"]


def test_a_session_without_a_row_counts_as_nothing_traded() -> None:
    half = raw(*traded("AAA", 50), *traded("BBB", 9000, DAYS[::3]))
    assert members(half, LiquidityRule(top_n=2)) == ["AAA"]


def test_the_month_itself_decides_nothing() -> None:
    march = [day for day in DAYS if day >= START]
    new = raw(*traded("AAA", 50), *traded("BBB", 9_000_000, march))
    assert members(new, LiquidityRule(top_n=1)) == ["AAA"]


def test_a_least_turnover_and_dated_membership_narrow_it_further() -> None:
    assert members(MARKET, LiquidityRule(top_n=9, min_turnover_inr=6000.0)) == ["BBB"]
    listed = pl.DataFrame(
        {"ticker": ["AAA"], "from_date": [FIRST], "to_date": [None]}, schema_overrides={"to_date": pl.Date}
    )
    assert members(MARKET, LiquidityRule(top_n=9), listed) == ["AAA"]


@pytest.mark.parametrize(
    "bad", [{"top_n": 0}, {"lookback_months": 4}, {"lookback_months": 0}, {"min_turnover_inr": -1}]
)
def test_a_rule_outside_its_range_is_refused(bad: dict) -> None:
    with pytest.raises(DataError, match=next(iter(bad))):
        LiquidityRule(**bad)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_month_alone_has_the_members_of_the_month_within_a_range(data: st.DataObject) -> None:
    days = sessions(date(2020, 9, 1), date(2021, 4, 30))
    rows = []
    for ticker in ("AAA", "BBB", "CCC"):
        for day in data.draw(st.lists(st.sampled_from(days), min_size=60, max_size=len(days), unique=True)):
            rows.append(bar(day, 100.0, ticker, volume_shares=data.draw(st.integers(0, 3))))
    table = raw(*rows).sort("date", "ticker")
    rule = LiquidityRule(top_n=1, lookback_months=data.draw(st.integers(1, 3)))
    whole = clean(table, None, CleaningConfig(), date(2020, 12, 1), date(2021, 4, 30), liquidity=rule).prices
    near = table.filter(pl.col("date").is_between(FIRST, END))
    older = table.filter(pl.col("date") < FIRST).lazy()
    alone = clean(near, None, CleaningConfig(), START, END, liquidity=rule, older=older).prices
    assert alone.equals(whole.filter(pl.col("date").is_between(START, END)))
