"""When decisions are taken. The dates come from the exchange calendar alone, so they are known in advance and are the
same whichever months are loaded. What is decided on them belongs to the strategies.
"""

from bisect import bisect_right
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

from quant_core import calendar
from quant_core.errors import DataError

Rebalance = Literal["threshold", "daily", "weekly", "monthly"]
REBALANCES: tuple[Rebalance, ...] = get_args(Rebalance)


def rebalance_dates(start: date, end: date, rebalance: Rebalance) -> list[date]:
    """Decision dates from `start` to `end`, both included.

    Args:
        rebalance: "daily" is every session, "weekly" the last NSE session of each ISO week (special sessions at
            weekends count), "monthly" the last of each calendar month. "threshold" decides every session, too; the
            ledger trades only where holdings have drifted far enough from what is wanted.
    """
    check_rebalance(rebalance)
    days = calendar.sessions(start, end)
    return days if rebalance in ("threshold", "daily") else [day for day in days if day in _period_ends(rebalance)]


def last_month_end(day: date) -> date | None:
    """The newest session on or before `day` that is its month's last, by the calendar; None before the first one."""
    ends = _month_ends()
    position = bisect_right(ends, day)
    return ends[position - 1] if position else None


def check_rebalance(rebalance: str) -> None:
    """Raise a DataError for a frequency that is not known."""
    if rebalance not in REBALANCES:
        raise DataError(f"rebalance is {rebalance!r}; wanted one of {', '.join(REBALANCES)}.")


def check_threshold(rebalance: Rebalance, trade_threshold: float) -> None:
    """Raise a DataError unless a threshold of the ledger goes with decisions on every session, and the reverse."""
    if (rebalance == "threshold") != (trade_threshold > 0.0):
        raise DataError(
            f"target_weights.rebalance is {rebalance!r} with backtest.trade_threshold {trade_threshold}; wanted a "
            "threshold above 0 with rebalance 'threshold', and 0 with any other."
        )


@lru_cache(maxsize=2)
def _period_ends(rebalance: Rebalance) -> frozenset[date]:
    days = calendar.sessions(calendar.FIRST_DAY, calendar.LAST_DAY)
    period = _iso_week if rebalance == "weekly" else _month
    return frozenset([today for today, after in pairwise(days) if period(today) != period(after)] + days[-1:])


@lru_cache(maxsize=1)
def _month_ends() -> list[date]:
    return sorted(_period_ends("monthly"))


def _iso_week(day: date) -> tuple[int, int]:
    return day.isocalendar()[:2]


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month
