"""NSE sessions: special ones in, the false one out, the published span known from the provisional one."""

from datetime import date, datetime

import exchange_calendars
import pytest

from quant_core import calendar
from quant_core.errors import DataError


def test_saturday_and_sunday_specials_and_muhurat_evenings_are_sessions() -> None:
    specials = [
        "2001-01-01",
        "2013-11-14",
        "2015-02-28",
        "2016-10-30",
        "2021-11-04",
        "2024-01-20",
        "2024-03-02",
        "2025-10-21",
        "2026-02-01",
    ]
    assert all(calendar.is_session(date.fromisoformat(day)) for day in specials)


def test_the_false_session_and_ordinary_holidays_are_not_sessions() -> None:
    closed = ["2013-11-15", "2024-01-22", "2024-05-20", "2024-11-20", "2026-01-15", "2026-01-26", "2023-12-31"]
    assert not any(calendar.is_session(date.fromisoformat(day)) for day in closed)


def test_counts_of_whole_years_match_the_published_number_of_sessions() -> None:
    # NSE's own yearly statistics: 248 in 2021, 248 in 2022, 246 in 2023.
    counts = {year: len(calendar.sessions(date(year, 1, 1), date(year, 12, 31))) for year in (2021, 2022, 2023)}
    assert counts == {2021: 248, 2022: 248, 2023: 246}


@pytest.mark.slow
def test_published_sessions_are_those_of_the_librarys_own_calendar_but_for_what_is_listed_here() -> None:
    xbom = exchange_calendars.get_calendar("XBOM", start="2000-01-01", end="2026-12-31")
    theirs = {day.date() for day in xbom.sessions}
    ours = set(calendar.sessions(calendar.FIRST_DAY, calendar.LAST_PUBLISHED_DAY))
    assert theirs - ours == calendar.NOT_SESSIONS
    assert ours == (theirs | set(calendar.SPECIAL_SESSIONS)) - calendar.NOT_SESSIONS


def test_session_numbers_count_up_by_one_from_the_first_session() -> None:
    days = calendar.sessions(date(2000, 1, 1), date(2002, 12, 31))
    assert [calendar.session_number(day) for day in days] == list(range(len(days)))


def test_the_next_session_skips_weekends_and_holidays() -> None:
    assert calendar.next_session(date(2026, 1, 23)) == date(2026, 1, 27)
    assert calendar.next_session(date(2013, 11, 13)) == date(2013, 11, 14)
    assert calendar.next_session(date(2013, 11, 14)) == date(2013, 11, 18)


def test_years_after_the_published_calendar_are_weekdays_less_fixed_holidays() -> None:
    days = calendar.sessions(date(2027, 1, 1), date(2027, 12, 31))
    assert date(2027, 1, 26) not in days
    assert date(2027, 1, 27) in days
    assert all(day.weekday() < 5 for day in days)


@pytest.mark.parametrize("bound", [date(1999, 12, 31), date(2036, 1, 1)])
def test_a_day_outside_the_known_span_is_an_error_that_names_it(bound: date) -> None:
    with pytest.raises(DataError, match=str(bound)):
        calendar.sessions(bound, bound)


def test_the_prices_of_an_evening_session_are_final_after_its_own_close() -> None:
    evening, friday = date(2019, 10, 27), date(2019, 10, 25)
    at = [datetime(2019, 10, 27, hour, minute, tzinfo=calendar.INDIA) for hour, minute in ((18, 30), (20, 59), (21, 0))]
    assert [calendar.last_closed_session(moment) for moment in at] == [friday, friday, evening]
    assert calendar.last_closed_session(datetime(2019, 10, 25, 18, tzinfo=calendar.INDIA)) == friday
    afternoon = datetime(2025, 10, 21, 18, tzinfo=calendar.INDIA)  # held from 13:45 to 14:45
    assert calendar.last_closed_session(afternoon) == date(2025, 10, 21)


def test_every_evening_session_is_a_session() -> None:
    assert all(calendar.is_session(day) for day in calendar.EVENING_SESSIONS)
