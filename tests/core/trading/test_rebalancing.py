"""Decision dates come from the calendar alone."""

from datetime import date, timedelta

import pytest

from quant_core import calendar
from quant_core.errors import DataError
from quant_core.trading.rebalancing import REBALANCES, last_month_end, rebalance_dates


def test_weekly_dates_by_hand_around_holidays_and_special_sessions():
    # Good Friday 2020-04-10 moves that week's date to Thursday; Saturday 2020-02-01 (Budget) was a session.
    assert rebalance_dates(date(2020, 4, 6), date(2020, 4, 17), "weekly") == [date(2020, 4, 9), date(2020, 4, 17)]
    assert rebalance_dates(date(2020, 1, 27), date(2020, 2, 2), "weekly") == [date(2020, 2, 1)]


def test_monthly_dates_are_the_last_sessions_of_months():
    assert rebalance_dates(date(2024, 2, 1), date(2024, 4, 15), "monthly") == [date(2024, 2, 29), date(2024, 3, 28)]


def test_daily_dates_are_all_sessions():
    assert rebalance_dates(date(2021, 1, 1), date(2021, 3, 31), "daily") == calendar.sessions(
        date(2021, 1, 1), date(2021, 3, 31)
    )


@pytest.mark.parametrize("rebalance", ["weekly", "monthly"])
def test_a_range_cut_anywhere_gives_the_same_dates(rebalance):
    start, end = date(2019, 12, 1), date(2020, 2, 15)
    whole = rebalance_dates(start, end, rebalance)
    for offset in range((end - start).days):
        cut = start + timedelta(days=offset)
        parts = rebalance_dates(start, cut, rebalance) + rebalance_dates(cut + timedelta(days=1), end, rebalance)
        assert parts == whole


def test_each_week_with_a_session_has_exactly_one_date():
    days = calendar.sessions(date(2015, 1, 5), date(2016, 12, 30))
    chosen = rebalance_dates(days[0], days[-1], "weekly")
    assert sorted({d.isocalendar()[:2] for d in days}) == [d.isocalendar()[:2] for d in chosen]


def test_an_unknown_frequency_is_refused():
    with pytest.raises(DataError, match="fortnightly"):
        rebalance_dates(date(2020, 1, 1), date(2020, 2, 1), "fortnightly")


def test_threshold_dates_are_all_sessions_and_come_before_the_slower_frequencies():
    start, end = date(2021, 1, 1), date(2021, 3, 31)
    assert rebalance_dates(start, end, "threshold") == calendar.sessions(start, end)
    assert REBALANCES == ("threshold", "daily", "weekly", "monthly")
    counts = [len(rebalance_dates(start, end, rebalance)) for rebalance in REBALANCES]
    assert counts == sorted(counts, reverse=True)


def test_the_last_month_end_by_hand_on_before_and_after_it():
    assert last_month_end(date(2024, 3, 28)) == date(2024, 3, 28)  # Good Friday follows, then a weekend
    assert last_month_end(date(2024, 3, 27)) == date(2024, 2, 29)
    assert last_month_end(date(2024, 3, 31)) == date(2024, 3, 28)
    assert last_month_end(date(2000, 1, 30)) is None
    assert last_month_end(date(2000, 1, 31)) == date(2000, 1, 31)


def test_the_last_month_end_is_the_newest_monthly_date_for_every_day_of_a_year():
    ends = rebalance_dates(date(2019, 11, 1), date(2020, 12, 31), "monthly")
    for offset in range(366):
        day = date(2020, 1, 1) + timedelta(days=offset)
        assert last_month_end(day) == max(end for end in ends if end <= day)
