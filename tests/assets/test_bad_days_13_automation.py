"""The last session of a month's start that reads the month before again, and the first that does not."""

from datetime import date

import pytest

from quant_assets.automation.refreshing import refresh_months

#: Sessions of October 2026: 1st, 5th, 6th, 7th (the 2nd is a holiday, then a weekend).
READ_AGAIN = {
    date(2026, 10, 1): ["2026-09", "2026-10"],
    date(2026, 10, 5): ["2026-09", "2026-10"],
    date(2026, 10, 6): ["2026-09", "2026-10"],
    date(2026, 10, 7): ["2026-10"],
}


@pytest.mark.parametrize("day", READ_AGAIN)
def test_the_month_before_is_read_again_up_to_and_with_the_third_session(day: date) -> None:
    assert refresh_months(day) == READ_AGAIN[day]


def test_january_reads_december_of_the_year_before() -> None:
    assert refresh_months(date(2026, 1, 1)) == ["2025-12", "2026-01"]
