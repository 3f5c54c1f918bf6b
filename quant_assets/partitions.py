"""Months for data, years for folds, and which months a fold may see.

Offsets of a TimeWindowPartitionMapping count downstream partitions; a mapping that reaches before the first partition is
clipped there. Every month asset has the same months (different starts would break one-run backfills): before the first
fold no model exists, and the signals of those months are empty tables.
"""

import math
from dataclasses import dataclass
from datetime import date

import dagster as dg

from quant_assets.profile import Profile

IST = "Asia/Kolkata"
#: NSE held 239 sessions in 2001-2023's leanest year; fewer a month than this is never seen over a span of years.
FEWEST_SESSIONS_A_YEAR = 239
#: Raw months before a cleaned one: more than cleaning.LOOKBACK_SESSIONS sessions.
CLEANING_MONTHS = 3


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
    months = math.ceil(warm_up_sessions * 12 / FEWEST_SESSIONS_A_YEAR) + 1
    mapping = dg.TimeWindowPartitionMapping
    return Partitions(
        months=_months(profile.start, profile.end),
        folds=_folds(profile),
        cleaning_lookback=mapping(start_offset=-CLEANING_MONTHS),
        feature_lookback=mapping(start_offset=-months),
        train=mapping(start_offset=-profile.train_years, end_offset=-1),
        fold_of_month=mapping(allow_nonexistent_upstream_partitions=True),
        through_fold=mapping(start_offset=-100, allow_nonexistent_upstream_partitions=True),
    )


def _months(start: str, end: str | None) -> dg.MonthlyPartitionsDefinition:
    if end is None:
        return dg.MonthlyPartitionsDefinition(start_date=start, fmt="%Y-%m", timezone=IST, end_offset=1)
    year, month = int(end[:4]), int(end[5:])
    after = f"{year + month // 12}-{month % 12 + 1:02d}"
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=after, fmt="%Y-%m", timezone=IST)


def _folds(profile: Profile) -> dg.TimeWindowPartitionsDefinition:
    common = {"start": str(profile.first_fold), "fmt": "%Y", "cron_schedule": "0 0 1 1 *", "timezone": IST}
    if profile.end is None:
        return dg.TimeWindowPartitionsDefinition(end_offset=1, **common)
    return dg.TimeWindowPartitionsDefinition(end=str(int(profile.end[:4]) + 1), **common)


def month_span(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext) -> tuple[date, date]:
    """First and last calendar day of the months (or the year) that a run covers."""
    window = context.partition_time_window
    return window.start.date(), date.fromordinal(window.end.date().toordinal() - 1)
