"""When decisions are taken. The dates come from the exchange calendar alone, so they are known in advance and are the
same whichever months are loaded. What is decided on them belongs to the strategies.
"""

from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

from quant_core import calendar
from quant_core.errors import DataError

Rebalance = Literal["daily", "weekly", "monthly"]
REBALANCES: tuple[Rebalance, ...] = get_args(Rebalance)


def rebalance_dates(start: date, end: date, rebalance: Rebalance) -> list[date]:
    """Decision dates from `start` to `end`, both included.

    Args:
        rebalance: "daily" is every session, "weekly" the last NSE session of each ISO week (special sessions at
            weekends count), "monthly" the last of each calendar month.
    """
    check_rebalance(rebalance)
    days = calendar.sessions(start, end)
    return days if rebalance == "daily" else [day for day in days if day in _period_ends(rebalance)]


def check_rebalance(rebalance: str) -> None:
    """Raise a DataError for a frequency that is not known."""
    if rebalance not in REBALANCES:
        raise DataError(f"rebalance is {rebalance!r}; wanted one of {', '.join(REBALANCES)}.")


@lru_cache(maxsize=2)
def _period_ends(rebalance: Rebalance) -> frozenset[date]:
    days = calendar.sessions(calendar.FIRST_DAY, calendar.LAST_DAY)
    period = _iso_week if rebalance == "weekly" else _month
    return frozenset([today for today, after in pairwise(days) if period(today) != period(after)] + days[-1:])


def _iso_week(day: date) -> tuple[int, int]:
    return day.isocalendar()[:2]


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month
