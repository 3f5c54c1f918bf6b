"""Months for data, years for folds, and which months a fold may see.

Offsets of a TimeWindowPartitionMapping count downstream partitions; a mapping that reaches before the first partition
is clipped there. Every month asset has the same months (different starts would break one-run backfills): before the
first fold no model exists, and the signals of those months are empty tables.
"""

import math
from dataclasses import dataclass
from datetime import date

import dagster as dg

from quant_assets.profile import Profile

IST = "Asia/Kolkata"
#: Below 2009's 243 sessions, the fewest of any year since 2000.
FEWEST_SESSIONS_A_YEAR = 240
#: Raw months that cleaning reads whole before its own: the row before of whatever trades, and its usual volume.
CLEANING_MONTHS = 3
#: Raw months before a cleaned one that it may depend on: all of them, since a name may come back after any absence.
#: Mappings are clipped at the profile's first month; fifty years are more than any profile has.
CLEANING_REACH_MONTHS = 600


@dataclass(frozen=True)
class Partitions:
    """The partition definitions and mappings of one profile."""

    months: dg.MonthlyPartitionsDefinition
    folds: dg.TimeWindowPartitionsDefinition
    cleaning_lookback: dg.TimeWindowPartitionMapping
    feature_lookback: dg.TimeWindowPartitionMapping
    train: dg.TimeWindowPartitionMapping
    fold_of_month: dg.TimeWindowPartitionMapping
    through_fold: dg.TimeWindowPartitionMapping


def build_partitions(profile: Profile, warm_up_sessions: int) -> Partitions:
    """Partitions of a profile whose features need `warm_up_sessions` sessions of history."""
    mapping = dg.TimeWindowPartitionMapping
    return Partitions(
        months=_months(profile.start, profile.end),
        folds=_folds(profile),
        cleaning_lookback=mapping(start_offset=-CLEANING_REACH_MONTHS, allow_nonexistent_upstream_partitions=True),
        feature_lookback=lookback(warm_up_sessions),
        train=mapping(start_offset=-profile.train_years, end_offset=-1),
        fold_of_month=mapping(allow_nonexistent_upstream_partitions=True),
        through_fold=mapping(start_offset=-100, allow_nonexistent_upstream_partitions=True),
    )


def cleaning_begin(start: date) -> date:
    """First day of the raw months that are read whole for clean months from `start` on."""
    month = start.year * 12 + start.month - 1 - CLEANING_MONTHS
    return date(month // 12, month % 12 + 1, 1)


def lookback(sessions: int) -> dg.TimeWindowPartitionMapping:
    """A month and enough months before it to hold `sessions` sessions before its first day."""
    return dg.TimeWindowPartitionMapping(start_offset=-math.ceil(sessions * 12 / FEWEST_SESSIONS_A_YEAR) - 1)


def _months(start: str, end: str | None) -> dg.MonthlyPartitionsDefinition:
    if end is None:
        return dg.MonthlyPartitionsDefinition(start_date=start, fmt="%Y-%m", timezone=IST, end_offset=1)
    year, month = int(end[:4]), int(end[5:])
    after = f"{year + month // 12}-{month % 12 + 1:02d}"
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=after, fmt="%Y-%m", timezone=IST)


def _folds(profile: Profile) -> dg.TimeWindowPartitionsDefinition:
    end = None if profile.end is None else str(int(profile.end[:4]) + 1)
    return dg.TimeWindowPartitionsDefinition(
        start=str(profile.first_fold),
        end=end,
        fmt="%Y",
        cron_schedule="0 0 1 1 *",
        timezone=IST,
        end_offset=int(end is None),
    )


def month_span(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> tuple[date, date]:
    """First and last calendar day of the months (or the year) that a run covers."""
    window = context.partition_time_window
    return window.start.date(), date.fromordinal(window.end.date().toordinal() - 1)
