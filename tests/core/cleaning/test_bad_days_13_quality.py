"""What makes a row bad, and a month, at the edge of every rule."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.quality import QualityThresholds, breaches, flag_bars, monthly_counts, quality_counts

DAYS = sessions(date(2021, 3, 1), date(2021, 3, 31))


def marked(*rows: dict[str, Any], on_bad_bar: str = "repair") -> pl.DataFrame:
    return flag_bars(raw(*rows), on_bad_bar, "test")


def flags(*rows: dict[str, Any]) -> list[str]:
    return marked(*rows)["flags"].to_list()


def found(**counts: int) -> pl.DataFrame:
    return pl.DataFrame({"kind": list(counts), "ticker": "A", "n_rows": list(counts.values())})


@pytest.mark.parametrize(
    ("kind", "limit", "name"),
    [
        ("filled", 50, "max_filled_share"),
        ("no_close", 50, "max_unusable_share"),
        ("bad_bar", 10, "max_bad_bar_share"),
        ("unit_jump", 0, "max_unit_jumps"),
        ("conflict", 0, "max_conflicts"),
    ],
)
def test_a_count_at_its_limit_is_no_breach_and_one_more_is(kind: str, limit: int, name: str) -> None:
    thresholds = QualityThresholds()
    assert breaches(found(**{kind: limit}), 1000, thresholds) == []
    [message] = breaches(found(**{kind: limit + 1}), 1000, thresholds)
    assert name in message


@pytest.mark.parametrize("kind", ["repeat", "conflict", "off_calendar", "no_close", "unit_jump"])
def test_every_row_that_cannot_be_used_counts_as_lost(kind: str) -> None:
    loose = QualityThresholds(max_unusable_share=0.01, max_conflicts=99, max_unit_jumps=99)
    assert breaches(found(**{kind: 10}), 1000, loose) == []
    assert len(breaches(found(**{kind: 11}), 1000, loose)) == 1
    assert breaches(found(stale=500, zero_volume=500, bad_volume=500, bad_action=9), 1000, loose) == []


def test_lost_rows_of_several_kinds_and_names_add_up() -> None:
    thresholds = QualityThresholds(max_unusable_share=0.01)
    both = pl.concat([found(no_close=6), found(no_close=5).with_columns(ticker=pl.lit("B"))])
    assert breaches(both.head(1), 1000, thresholds) == []
    assert breaches(both, 1000, thresholds) == [
        "11 unusable rows are 1.10% of 1000 rows, above max_unusable_share 1.00%"
    ]


@pytest.mark.parametrize(("days_later", "is_stale"), [(75, True), (76, False)])
def test_a_row_is_stale_against_one_of_the_75_days_before_it(days_later: int, is_stale: bool) -> None:
    first = date(2021, 1, 1)
    rows = bar(first, 100.0), bar(first + timedelta(days=days_later), 100.0)
    assert ("stale" in flags(*rows)[1]) == is_stale


@pytest.mark.parametrize("changed", ["open_inr", "high_inr", "low_inr", "close_inr", "volume_shares"])
def test_a_row_that_differs_in_any_price_or_in_volume_is_not_stale(changed: str) -> None:
    still = bar(DAYS[0], 100.0, high_inr=102.0, low_inr=98.0), bar(DAYS[1], 100.0, high_inr=102.0, low_inr=98.0)
    assert flags(*still) == ["", "stale"]
    assert flags(still[0], still[1] | {changed: 999 if changed == "volume_shares" else 101.0})[1] != "stale"
    assert flags(still[0], still[1] | {"ticker": "INFY"}) == ["", ""]
    index = {"instrument": "index"}
    assert flags(still[0] | index, still[1] | index) == ["", ""]


@pytest.mark.parametrize(("price", "is_price"), [(1e-4, True), (0.99e-4, False), (1e9, True), (1.01e9, False)])
def test_a_price_lies_between_a_hundredth_of_a_paisa_and_a_billion_rupees(price: float, is_price: bool) -> None:
    assert ("no_close" in flags(bar(DAYS[0], price))[0]) != is_price
    row = marked(bar(DAYS[0], 100.0, open_inr=price))
    assert (row["open_inr"][0] is not None) == is_price


@pytest.mark.parametrize(
    ("bad", "flag"),
    [
        ({"high_inr": 109.0}, "bad_bar"), ({"low_inr": 91.0}, "bad_bar"), ({"open_inr": 112.0}, "bad_bar"),
        ({"high_inr": 89.0, "low_inr": 89.0}, "bad_bar"), ({"open_inr": 0.0}, "bad_open"),
        ({"volume_shares": -1}, "bad_volume"), ({"volume_shares": 0}, "zero_volume"),
        ({"volume_shares": None}, "zero_volume"), ({"price_factor": 0.0}, "bad_action"),
        ({"price_factor": -0.5}, "bad_action"), ({"dividend_inr": -0.01}, "bad_action"), ({"high_inr": 110.0}, ""),
        ({"low_inr": 90.0}, ""), ({"dividend_inr": 1.0}, ""), ({"volume_shares": 1}, ""), ({"high_inr": None}, ""),
    ],
)  # fmt: skip
def test_a_bar_from_90_to_110_says_what_is_wrong_with_it(bad: dict[str, Any], flag: str) -> None:
    sound = bar(DAYS[0], 110.0, open_inr=90.0, high_inr=111.0, low_inr=89.0)
    row = marked(sound | bad).row(0, named=True)
    assert flag in row["flags"].split("|")
    assert row["is_sound"]
    assert row["high_inr"] >= max(row["close_inr"], row["open_inr"] or 0.0)
    assert row["low_inr"] <= min(row["close_inr"], row["open_inr"] or 200.0)


def test_an_action_that_is_none_is_read_as_none_and_a_volume_too() -> None:
    row = marked(bar(DAYS[0], 100.0, price_factor=0.0, dividend_inr=-1.0, volume_shares=-5)).row(0, named=True)
    assert (row["price_factor"], row["dividend_inr"], row["volume_shares"]) == (1.0, 0.0, None)


def test_dropping_bad_bars_drops_those_only() -> None:
    rows = bar(DAYS[0], 100.0), bar(DAYS[1], 100.0, high_inr=90.0), bar(DAYS[2], 100.0, volume_shares=0)
    assert marked(*rows, on_bad_bar="drop")["is_sound"].to_list() == [True, False, True]
    assert marked(*rows)["is_sound"].to_list() == [True, True, True]


def test_the_first_of_several_rows_is_kept_whatever_differs() -> None:
    rows = [bar(DAYS[0], 100.0), bar(DAYS[0], 100.0), bar(DAYS[0], 100.0, low_inr=99.0), bar(DAYS[0], 100.0, "INFY")]
    table = marked(*rows)
    assert table.select("ticker", "flags", "is_sound", "is_repeat").rows() == [
        ("INFY", "", True, False), ("TCS", "", True, False),
        ("TCS", "repeat", False, True), ("TCS", "conflict", False, True),
    ]  # fmt: skip


def test_an_index_without_volume_is_sound_and_a_day_without_session_is_not() -> None:
    assert flags(bar(DAYS[0], 100.0, instrument="index", volume_shares=None)) == [""]
    table = marked(bar(date(2021, 3, 6), 100.0), bar(DAYS[5], 101.0))
    assert table.select("flags", "is_sound").rows() == [("off_calendar", False), ("", True)]


def test_counts_come_largest_first_then_by_name_and_by_month() -> None:
    defects = pl.DataFrame(
        {
            "date": [date(2021, 3, 1), date(2021, 3, 31), date(2021, 4, 1), date(2021, 3, 2), date(2021, 3, 2)],
            "kind": ["stale", "stale", "stale", "filled", "stale"],
            "ticker": ["B", "B", "B", "C", "A"],
        }
    )
    assert quality_counts(defects).rows() == [("stale", "B", 3), ("filled", "C", 1), ("stale", "A", 1)]
    assert monthly_counts(defects).rows() == [
        ("filled", date(2021, 3, 1), 1), ("stale", date(2021, 3, 1), 3), ("stale", date(2021, 4, 1), 1)
    ]  # fmt: skip
