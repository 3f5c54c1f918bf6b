"""NSE cash-market sessions from 2000.

The base is the XBOM calendar of exchange_calendars (NSE and BSE share their holidays); it lacks most of the special
sessions, which are listed here, and carries one session that NSE did not hold.

Sources: 2000-2023 are the days with an official NSE price file or index value; 2024-2026 are NSE circulars
(Saturday disaster-recovery sessions 2024-03-02 and 2024-05-18, Budget days, Muhurat evenings). From 2027 on NSE has not
published its holidays: those years are provisional, weekdays less the holidays that have a fixed date.
"""

from bisect import bisect_left, bisect_right
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from quant_core.errors import DataError

FIRST_DAY = date(2000, 1, 1)
LAST_PUBLISHED_DAY = date(2026, 12, 31)
LAST_DAY = date(2035, 12, 31)
SESSIONS_PER_YEAR = 252
INDIA = ZoneInfo("Asia/Kolkata")
#: Indian time from which on the prices of a session are final; the market closes at 15:30.
PUBLISHED_HOUR = 18
#: Of a session whose only hour is in the evening, Muhurat: it ends between 18:30 and 19:45.
EVENING_PUBLISHED_HOUR = 21

#: (month, day) of NSE holidays with a fixed date: Republic Day, Maharashtra Day, Independence Day,
#: Gandhi Jayanti, Christmas.
FIXED_HOLIDAYS = frozenset({(1, 26), (5, 1), (8, 15), (10, 2), (12, 25)})

#: XBOM lists Friday 2013-11-15 as a session and Thursday 2013-11-14 as a holiday; NSE traded on the 14th
#: (Muharram moved).
NOT_SESSIONS = frozenset({date(2013, 11, 15)})

SPECIAL_SESSIONS = tuple(
    date.fromisoformat(day)
    for day in [
        "2001-01-01",
        "2003-03-22",
        "2003-10-25",
        "2003-11-15",
        "2004-01-01",
        "2004-04-17",
        "2004-10-09",
        "2005-06-04",
        "2005-11-26",
        "2006-04-29",
        "2006-06-25",
        "2006-10-21",
        "2009-10-17",
        "2010-02-06",
        "2012-01-07",
        "2012-03-03",
        "2012-04-28",
        "2012-09-08",
        "2013-05-11",
        "2013-11-03",
        "2013-11-14",
        "2014-03-22",
        "2014-10-23",
        "2015-02-28",
        "2015-11-11",
        "2016-10-30",
        "2017-10-19",
        "2018-11-07",
        "2019-10-27",
        "2020-02-01",
        "2020-11-14",
        "2021-11-04",
        "2022-10-24",
        "2023-11-12",
        "2024-01-20",
        "2024-03-02",
        "2024-05-18",
        "2024-11-01",
        "2025-02-01",
        "2025-10-21",
        "2026-02-01",
        "2026-11-08",
    ]
)

#: Muhurat sessions held in the evening (NSE circulars; those of 2012 and 2025 were held in the afternoon).
EVENING_SESSIONS = frozenset({
    date(2009, 10, 17), date(2010, 11, 5), date(2011, 10, 26), date(2013, 11, 3), date(2014, 10, 23),
    date(2015, 11, 11), date(2016, 10, 30), date(2017, 10, 19), date(2018, 11, 7), date(2019, 10, 27),
    date(2020, 11, 14), date(2021, 11, 4), date(2022, 10, 24), date(2023, 11, 12), date(2024, 11, 1),
    date(2026, 11, 8),
})  # fmt: skip


@lru_cache(maxsize=1)
def _all_sessions() -> tuple[date, ...]:
    """Every session; the library's list of holidays is quick, its calendar makes schedules that nobody asks for."""
    from exchange_calendars.exchange_calendar_xbom import XBOMExchangeCalendar

    closed = {day.date() for day in XBOMExchangeCalendar.precomputed_holidays()} | NOT_SESSIONS
    published = (set(_weekdays(FIRST_DAY, LAST_PUBLISHED_DAY)) - closed) | set(SPECIAL_SESSIONS)
    return tuple(sorted(published)) + tuple(_provisional_sessions())


def _weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


def _provisional_sessions() -> list[date]:
    days = _weekdays(LAST_PUBLISHED_DAY + timedelta(1), LAST_DAY)
    return [day for day in days if (day.month, day.day) not in FIXED_HOLIDAYS]


def sessions(start: date, end: date) -> list[date]:
    """NSE sessions from `start` to `end`, both included.

    Raises:
        DataError: a bound outside 2000-01-01..2035-12-31, where the calendar is not known.
    """
    for bound in (start, end):
        if not FIRST_DAY <= bound <= LAST_DAY:
            raise DataError(
                f"calendar: {bound} is outside {FIRST_DAY}..{LAST_DAY}; "
                "ask for a range inside it or extend quant_core/calendar.py."
            )
    days = _all_sessions()
    return list(days[bisect_left(days, start) : bisect_right(days, end)])


def is_session(day: date) -> bool:
    """True where NSE's cash market traded (or will trade) on `day`."""
    return bool(sessions(day, day))


def sessions_before(day: date, n: int) -> date:
    """The `n`-th session before `day`, or the calendar's first where there are fewer; `day` itself for 0."""
    if n == 0:
        return day
    earlier = bisect_left(_all_sessions(), day)
    return _all_sessions()[max(earlier - n, 0)]


def session_number(day: date) -> int:
    """Count of NSE sessions since 2000-01-01 up to and including `day`; 0 is the first session.

    Kernels anchor their blocks on it, so a value never depends on where the loaded history begins.
    """
    sessions(day, day)
    return bisect_right(_all_sessions(), day) - 1


def next_session(day: date) -> date:
    """The first session strictly after `day`."""
    days = _all_sessions()
    position = bisect_right(days, day)
    if position == len(days):
        raise DataError(f"calendar: no session is known after {day}; extend quant_core/calendar.py beyond {LAST_DAY}.")
    return days[position]


def is_evening(day: date) -> bool:
    """True for a session that is held in the evening only."""
    return day in EVENING_SESSIONS


def final_at(day: date) -> datetime:
    """When the prices of session `day` are final."""
    hour = EVENING_PUBLISHED_HOUR if is_evening(day) else PUBLISHED_HOUR
    return datetime(day.year, day.month, day.day, hour, tzinfo=INDIA)


def last_closed_session(now: datetime) -> date:
    """The last NSE session whose prices are final at `now`, an aware datetime."""
    if now.tzinfo is None:
        raise DataError(f"calendar: now is {now} without a time zone; pass an aware datetime.")
    today = now.astimezone(INDIA).date()
    known = [day for day in sessions(today - timedelta(days=30), today) if final_at(day) <= now]
    if not known:
        raise DataError(f"calendar: no session in the 30 days before {today}; extend quant_core/calendar.py.")
    return known[-1]
