"""Steps by a power of ten at the edges of every threshold, one short row each."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.quality import flag_bars
from quant_core.cleaning.units import flag_units, trailing_median_volume

DAYS = sessions(date(2021, 3, 1), date(2021, 4, 30))
INDEX = {"instrument": "index", "volume_shares": None}


def flagged(*rows: dict[str, Any]) -> list[tuple[str, bool, float]]:
    """(flags, is_sound, price_factor) of each row in the order given; quiet volumes are told apart."""
    done = flag_units(flag_bars(raw(*rows), "repair", "test"))
    keys = {(row["ticker"], row["date"]): row for row in done.iter_rows(named=True)}
    found = [keys[row["ticker"], row["date"]] for row in rows]
    return [(row["flags"], row["is_sound"], row["price_factor"]) for row in found]


SOUND, JUMP = ("", True, 1.0), ("unit_jump", False, 1.0)


@pytest.mark.parametrize(
    ("day", "expected"), [(date(2021, 3, 22), JUMP), (date(2021, 3, 23), SOUND)], ids=["20_days", "21_days"]
)
def test_a_row_more_than_twenty_days_later_is_no_step(day: date, expected: tuple) -> None:
    assert flagged(bar(date(2021, 3, 2), 100.0), bar(day, 1000.0))[1] == expected


@pytest.mark.parametrize(
    ("close", "expected"),
    [(1170.0, JUMP), (1180.0, SOUND), (1000.0 / 1.17, JUMP), (1000.0 / 1.18, SOUND), (10_000.0, JUMP)],
)
def test_a_step_lies_within_a_factor_of_a_power_of_ten(close: float, expected: tuple) -> None:
    assert flagged(bar(DAYS[0], 100.0), bar(DAYS[1], close))[1] == expected


def test_neighbouring_names_are_no_step_and_each_has_its_own() -> None:
    rows = [bar(DAYS[0], 100.0, "A"), bar(DAYS[1], 1000.0, "B"), bar(DAYS[2], 10_100.0, "B"), bar(DAYS[2], 101.0, "A")]
    assert flagged(*rows) == [SOUND, SOUND, JUMP, SOUND]


def test_a_listed_factor_is_part_of_the_move() -> None:
    """100 with a factor of 0.1 should open near 10: at 10 nothing happened, at 100 it is off by ten."""
    assert flagged(bar(DAYS[0], 100.0), bar(DAYS[1], 10.0, price_factor=0.1))[1] == ("", True, 0.1)
    assert flagged(bar(DAYS[0], 100.0), bar(DAYS[1], 100.0, price_factor=0.1, volume_shares=7))[1] == (
        "unit_jump", False, 0.1
    )  # fmt: skip


def test_a_level_that_stays_is_taken_over_and_bridged_once() -> None:
    rows = [bar(day, price, volume_shares=900 + n) for n, (day, price) in enumerate(zip(DAYS, LEVELS, strict=False))]
    assert flagged(*rows) == [SOUND, JUMP, ("unit_jump", True, pytest.approx(10.0)), SOUND]


LEVELS = (100.0, 1010.0, 1020.0, 1030.0)


def test_a_slip_of_a_day_bridges_nothing_and_two_slips_are_two() -> None:
    prices = (100.0, 1010.0, 102.0, 103.0, 1040.0, 105.0)
    rows = [bar(day, price, volume_shares=900 + n) for n, (day, price) in enumerate(zip(DAYS, prices, strict=False))]
    assert flagged(*rows) == [SOUND, JUMP, SOUND, SOUND, JUMP, SOUND]


@pytest.mark.parametrize(("level", "factor"), [(2100.0, 0.1), (210_000.0, 10.0)])
def test_an_index_is_bridged_on_its_day_both_ways_and_never_unsound(level: float, factor: float) -> None:
    rows = [bar(DAYS[0], 21_000.0, "X", **INDEX), bar(DAYS[1], level, "X", **INDEX), bar(DAYS[2], level, "X", **INDEX)]
    assert flagged(*rows) == [SOUND, ("rebased", True, pytest.approx(factor)), SOUND]


@pytest.mark.parametrize(("shares", "is_split"), [(3000, True), (2999, False)])
def test_a_fall_by_ten_is_a_split_from_three_times_the_usual_volume_on(shares: int, is_split: bool) -> None:
    quiet = [bar(day, 100.0, volume_shares=volume) for day, volume in zip(DAYS, (990, 1000, 1010), strict=False)]
    assert flagged(*quiet, bar(DAYS[3], 10.0, volume_shares=shares))[3] == (SOUND if is_split else JUMP)


def test_a_rise_by_ten_is_no_split_whatever_the_volume_and_no_index_splits() -> None:
    quiet = [bar(day, 100.0, volume_shares=1000 + n) for n, day in enumerate(DAYS[:3])]
    assert flagged(*quiet, bar(DAYS[3], 1000.0, volume_shares=9000, turnover_inr=9e6))[3] == JUMP
    index = [bar(day, 100.0, "X", instrument="index", volume_shares=1000 + n) for n, day in enumerate(DAYS[:3])]
    fallen = bar(DAYS[3], 10.0, "X", instrument="index", volume_shares=9000)
    assert flagged(*index, fallen)[3] == ("rebased", True, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("average", "is_split"), [(15.0, True), (15.1, False), (10.0 / 1.5, True), (6.6, False), (100.0, False)]
)
def test_rupees_over_shares_that_agree_with_the_lower_price_say_split(average: float, is_split: bool) -> None:
    quiet = [bar(day, 100.0, volume_shares=1000 + n) for n, day in enumerate(DAYS[:3])]
    fallen = bar(DAYS[3], 10.0, volume_shares=1000, turnover_inr=average * 1000)
    assert flagged(*quiet, fallen)[3] == (SOUND if is_split else JUMP)


def test_the_usual_volume_is_the_median_of_the_45_days_before_the_day_and_not_of_the_day() -> None:
    day = date(2021, 4, 30)
    ages_and_volumes = [(46, 9), (45, 100), (20, 300), (1, 200), (0, 10_000)]
    rows = pl.DataFrame(
        [(day - timedelta(days=age), "A", volume) for age, volume in ages_and_volumes] + [(day, "B", 5)],
        schema={"date": pl.Date, "ticker": pl.String, "volume_shares": pl.Int64},
        orient="row",
    )
    at = rows.filter(pl.col("date") == day, pl.col("ticker") == "A")
    assert trailing_median_volume(at, rows).rows() == [(day, "A", 200.0)]


def test_a_row_that_cannot_be_used_hides_no_step() -> None:
    """Neither a row without a close nor one on a Saturday stands between 100 and 1010."""
    unusable = [bar(date(2021, 3, 2), None), bar(date(2021, 3, 6), 100.0)]
    found = flagged(bar(date(2021, 3, 1), 100.0), *unusable, bar(date(2021, 3, 8), 1010.0))
    assert [row[0] for row in found] == ["", "no_close", "off_calendar", "unit_jump"]
