"""Duplicates, numbers that are none, counts by month and thresholds."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.cleaning.quality import KINDS, UNUSABLE, QualityThresholds, breaches
from quant_core.errors import DataError

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)


def counts(*rows: dict[str, Any]) -> dict[str, int]:
    quality = clean(raw(*rows), None, CleaningConfig(), START, END).quality
    return dict(quality.group_by("kind").agg(pl.col("n_rows").sum()).iter_rows())


def test_a_repeat_has_the_same_values_and_a_conflict_others() -> None:
    rows = (bar(DAYS[0], 100.0), bar(DAYS[0], 100.0), bar(DAYS[0], 101.0), bar(DAYS[0], 100.0, volume_shares=7))
    assert counts(*rows) == {"repeat": 1, "conflict": 2}
    kept = clean(raw(*rows), None, CleaningConfig(), START, END).prices
    assert kept["close_inr"].to_list() == [100.0]


@pytest.mark.parametrize("price", [-5.0, 0.0, None])
def test_a_close_that_is_no_price_is_not_used(price: float | None) -> None:
    bad = bar(DAYS[1], price, open_inr=100.0, high_inr=100.0, low_inr=100.0)
    assert counts(bar(DAYS[0], 100.0), bad) == {"no_close": 1, "filled": 1}


def test_an_open_or_low_that_is_no_price_is_dropped_from_the_bar() -> None:
    bad = bar(DAYS[1], 101.0, open_inr=-1.0, low_inr=0.0)
    result = clean(raw(bar(DAYS[0], 100.0), bad), None, CleaningConfig(), START, END)
    row = result.prices.row(1, named=True)
    assert (row["open_inr"], row["low_inr"], row["flags"]) == (None, 101.0, "bad_bar|bad_open")
    assert row["total_return_1d"] == pytest.approx(0.01)


@pytest.mark.parametrize("price", [float("inf"), float("nan")])
def test_a_price_that_is_no_number_is_refused_by_row(price: float) -> None:
    with pytest.raises(DataError, match=r"raw rows: close_inr\|.*2021, 3, 2.*TCS"):
        counts(bar(DAYS[0], 100.0), bar(DAYS[1], price, open_inr=100.0))


def test_a_negative_volume_is_none() -> None:
    result = clean(raw(bar(DAYS[0], 100.0, volume_shares=-3)), None, CleaningConfig(), START, END)
    assert result.prices.select("volume_shares", "flags", "is_tradable").row(0) == (None, "bad_volume", False)


def test_rows_before_the_calendar_begins_are_off_calendar() -> None:
    early = bar(date(1999, 12, 1), 90.0)
    result = clean(raw(early, bar(date(2000, 1, 3), 91.0)), None, CleaningConfig(), date(2000, 1, 1), END)
    assert result.prices["date"].to_list() == [date(2000, 1, 3)]


def test_counts_are_also_given_by_month() -> None:
    april = sessions(date(2021, 4, 1), date(2021, 4, 30))
    table = raw(bar(DAYS[0], 100.0, volume_shares=0), bar(april[0], 100.0, volume_shares=0), bar(april[1], 101.0))
    result = clean(table, None, CleaningConfig(), START, date(2021, 4, 30))
    zero = result.by_month.filter(pl.col("kind") == "zero_volume")
    assert zero.rows() == [("zero_volume", date(2021, 3, 1), 1), ("zero_volume", date(2021, 4, 1), 1)]


def test_a_breach_names_the_count_and_the_threshold() -> None:
    quality = pl.DataFrame(
        {
            "kind": ["filled", "no_close", "unit_jump", "quarantined"],
            "ticker": ["A", "A", "B", "C"],
            "n_rows": [60, 30, 1, 2],
        }
    )
    assert breaches(quality, 1000, QualityThresholds(max_unusable_share=0.05)) == [
        "60 carried rows are 6.00% of 1000 rows, above max_filled_share 5.00%",
        "2 quarantined jumps, above max_suspected_actions 0",
        "1 unit jumps, above max_unit_jumps 0",
    ]
    kind = QualityThresholds(max_filled_share=0.06, max_suspected_actions=2, max_unit_jumps=1)
    assert breaches(quality, 1000, kind) == []
    assert breaches(quality, 100, QualityThresholds(1.0, 0.3, 9, 9, 9)) == [
        "31 unusable rows are 31.00% of 100 rows, above max_unusable_share 30.00%"
    ]


def test_an_empty_table_breaks_no_threshold() -> None:
    assert breaches(pl.DataFrame(schema={"kind": pl.String, "n_rows": pl.Int64}), 0, QualityThresholds()) == []


def test_raw_rows_of_the_wrong_type_are_refused_by_name() -> None:
    table = raw(bar(DAYS[0], 100.0)).with_columns(pl.col("close_inr").cast(pl.String))
    with pytest.raises(DataError, match=r"clean_prices: raw rows: column close_inr is String, wanted Float64"):
        clean(table, None, CleaningConfig(), START, END)
    with pytest.raises(DataError, match=r"raw rows: date.*TCS"):
        clean(raw(bar(DAYS[0], 100.0)).with_columns(date=pl.lit(None, pl.Date)), None, CleaningConfig(), START, END)


NUMBERS = [None, 0.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"), 100.0, 1e8]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_corrupted_rows_are_repaired_and_counted_or_refused(data: st.DataObject) -> None:
    """Nothing but a DataError may come out, and every row is in the table or in the counts."""
    days = [*DAYS, date(2021, 3, 7), date(2021, 4, 15), DAYS[0] - timedelta(days=40)]
    rows = []
    for _ in range(data.draw(st.integers(1, 25))):
        row = bar(
            data.draw(st.sampled_from(days)),
            data.draw(st.sampled_from([100.0, 101.0])),
            data.draw(st.sampled_from(["TCS", "टाटा", "M&M|x", " "])),
        )
        for name in ("open_inr", "high_inr", "low_inr", "close_inr", "prev_close_inr", "turnover_inr"):
            if data.draw(st.integers(0, 5)) == 0:
                row[name] = data.draw(st.sampled_from(NUMBERS))
        row["volume_shares"] = data.draw(st.sampled_from([None, 0, -5, 10, 2**62]))
        row["price_factor"] = data.draw(st.sampled_from([1.0, 1.0, 0.5, 0.0, -1.0, float("nan")]))
        row["dividend_inr"] = data.draw(st.sampled_from([0.0, 0.0, 3.0, -1.0, float("inf")]))
        rows.append(row)
    table = raw(*rows)
    try:
        result = clean(table, None, CleaningConfig(), START, END)
    except DataError:
        return
    prices = result.prices
    assert prices.select("date", "ticker").is_unique().all()
    assert prices.filter(~pl.col("close_inr").is_finite() | (pl.col("close_inr") <= 0)).is_empty()
    returns = prices["total_return_1d"].drop_nulls()
    assert returns.is_finite().all()
    assert (returns > -1).all()
    assert prices.filter(
        (pl.col("high_inr") < pl.col("close_inr")) | (pl.col("low_inr") > pl.col("close_inr"))
    ).is_empty()
    inside = table.filter(pl.col("date").is_between(START, END)).height
    lost = result.quality.filter(pl.col("kind").is_in([*UNUSABLE, "unit_jump"]))["n_rows"].sum()
    used = prices.filter(~pl.col("is_filled"))
    assert used.height <= inside <= used.height + lost
    assert set(result.quality["kind"]) <= set(KINDS)
