"""Months for data, years or quarters for folds, and which months a fold may see.

Offsets of a TimeWindowPartitionMapping count downstream partitions; a mapping that reaches before the first partition
is clipped there. Every month asset has the same months (different starts would break one-run backfills): before the
first fold no model exists, and the signals of those months are empty tables.
"""

import math
from dataclasses import dataclass
from datetime import date

import dagster as dg

from quant_assets.profile import Profile
from quant_core.folds import CADENCE_MONTHS, Fold, fold

IST = "Asia/Kolkata"
#: Below 2009's 243 sessions, the fewest of any year since 2000.
FEWEST_SESSIONS_A_YEAR = 240
#: Raw months that cleaning reads whole before its own: the row before of whatever trades, and its usual volume.
CLEANING_MONTHS = 3
#: Raw months before a cleaned one that it may depend on: all of them, since a name may come back after any absence.
#: Mappings are clipped at the profile's first month; fifty years are more than any profile has.
CLEANING_REACH_MONTHS = 600
#: From December back to the January of the year before.
PATH_MONTHS = 23
#: Years whose folds come before one, the first included; more than any profile has. Dagster walks back fold by fold, a
#: millisecond each, for every input of every run.
FOLD_YEARS_BEFORE = 50


@dataclass(frozen=True)
class Partitions:
    """The partition definitions and mappings of one profile."""

    months: dg.MonthlyPartitionsDefinition
    folds: dg.TimeWindowPartitionsDefinition
    cleaning_lookback: dg.TimeWindowPartitionMapping
    feature_lookback: dg.TimeWindowPartitionMapping
    train: dg.TimeWindowPartitionMapping
    before_fold: dg.TimeWindowPartitionMapping
    fold_of_month: dg.TimeWindowPartitionMapping
    folds_of_regimes: dg.TimeWindowPartitionMapping  # of a month: its fold, and that of the month before it
    through_fold: dg.TimeWindowPartitionMapping
    trials: dg.DynamicPartitionsDefinition  # one a key of `trial_keys`
    train_folds: int  # folds that the years before one hold

    def training_months(self, context_sessions: int) -> dg.TimeWindowPartitionMapping:
        """Fold -> the months that may train it, and those that hold `context_sessions` sessions before them."""
        folds_a_year = 12 // months_a_partition(self.folds)
        context_folds = math.ceil(context_sessions * folds_a_year / FEWEST_SESSIONS_A_YEAR)
        return dg.TimeWindowPartitionMapping(
            start_offset=-self.train_folds - context_folds,
            end_offset=-1,
            allow_nonexistent_upstream_partitions=context_folds > 0,
        )

    def since_fold_began(self, context_sessions: int) -> dg.TimeWindowPartitionMapping:
        """Month -> the months of its fold so far, and those that hold `context_sessions` sessions before them."""
        context_months = math.ceil(context_sessions * 12 / FEWEST_SESSIONS_A_YEAR) + 1
        return dg.TimeWindowPartitionMapping(
            start_offset=1 - months_a_partition(self.folds) - context_months, allow_nonexistent_upstream_partitions=True
        )

    def known_regimes(self) -> dg.TimeWindowPartitionMapping:
        """Month -> the months from the first one of the fold that contains the month before it.

        A decision knows a regime for a month, so one of a fold's first month may rest on the fold before.
        """
        return dg.TimeWindowPartitionMapping(
            start_offset=-months_a_partition(self.folds), allow_nonexistent_upstream_partitions=True
        )


def build_partitions(profile: Profile, warm_up_sessions: int) -> Partitions:
    """Partitions of a profile whose features need `warm_up_sessions` sessions of history."""
    mapping = dg.TimeWindowPartitionMapping
    folds_a_year = 12 // CADENCE_MONTHS[profile.fold_cadence]
    train_folds, earlier_folds = profile.train_years * folds_a_year, FOLD_YEARS_BEFORE * folds_a_year
    return Partitions(
        months=_months(profile.start, profile.end),
        folds=_folds(profile),
        cleaning_lookback=mapping(start_offset=-CLEANING_REACH_MONTHS, allow_nonexistent_upstream_partitions=True),
        feature_lookback=lookback(warm_up_sessions),
        train=mapping(start_offset=-train_folds, end_offset=-1),
        before_fold=mapping(start_offset=-earlier_folds, end_offset=-1, allow_nonexistent_upstream_partitions=True),
        fold_of_month=mapping(allow_nonexistent_upstream_partitions=True),
        folds_of_regimes=mapping(start_offset=-1, allow_nonexistent_upstream_partitions=True),
        through_fold=mapping(start_offset=-earlier_folds, allow_nonexistent_upstream_partitions=True),
        trials=dg.DynamicPartitionsDefinition(name=f"{profile.name}_trials"),
        train_folds=train_folds,
    )


def cleaning_begin(start: date) -> date:
    """First day of the raw months that are read whole for clean months from `start` on."""
    return months_before(f"{start:%Y-%m}", CLEANING_MONTHS)


def month_number(partition: str) -> int:
    """First month since year 0 of a "YYYY" or "YYYY-MM" partition."""
    return int(partition[:4]) * 12 + int(partition[5:7] or 1) - 1


def months_before(month: str, months: int) -> date:
    """First day of the month so many months before; after it for a negative number."""
    number = month_number(month) - months
    return date(number // 12, number % 12 + 1, 1)


def month_before(month: str) -> str:
    """The month before, both as YYYY-MM."""
    return f"{months_before(month, 1):%Y-%m}"


def month_after(month: str) -> str:
    """The month that follows, both as YYYY-MM."""
    return f"{months_before(month, -1):%Y-%m}"


def lookback(sessions: int) -> dg.TimeWindowPartitionMapping:
    """A month and enough months before it to hold `sessions` sessions before its first day."""
    return dg.TimeWindowPartitionMapping(start_offset=-math.ceil(sessions * 12 / FEWEST_SESSIONS_A_YEAR) - 1)


def path_lookback(sessions: int) -> dg.TimeWindowPartitionMapping:
    """A month, those since the year before its own began, and those that hold `sessions` sessions before them.

    For decisions that depend on the book they hold: their path begins there (`quant_core.allocation.held`).
    """
    before = math.ceil(sessions * 12 / FEWEST_SESSIONS_A_YEAR) + 1 if sessions else 0
    return dg.TimeWindowPartitionMapping(start_offset=-PATH_MONTHS - before, allow_nonexistent_upstream_partitions=True)


def context_mapping(context_sessions: int) -> dg.TimeWindowPartitionMapping:
    """A month, and the months that hold the sessions before it which a model looks back on."""
    return lookback(context_sessions) if context_sessions else dg.TimeWindowPartitionMapping()


def _months(start: str, end: str | None) -> dg.MonthlyPartitionsDefinition:
    if end is None:
        return dg.MonthlyPartitionsDefinition(start_date=start, fmt="%Y-%m", timezone=IST, end_offset=1)
    year, month = int(end[:4]), int(end[5:])
    after = f"{year + month // 12}-{month % 12 + 1:02d}"
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=after, fmt="%Y-%m", timezone=IST)


def _folds(profile: Profile) -> dg.TimeWindowPartitionsDefinition:
    months = CADENCE_MONTHS[profile.fold_cadence]
    end = None if profile.end is None else _first_fold_after(profile.end, months)
    yearly = months == 12
    return dg.TimeWindowPartitionsDefinition(
        start=str(profile.first_fold) if yearly else f"{profile.first_fold}-01",
        end=end if end is None or not yearly else end[:4],
        fmt="%Y" if yearly else "%Y-%m",
        cron_schedule="0 0 1 1 *" if yearly else "0 0 1 1,4,7,10 *",
        timezone=IST,
        end_offset=int(end is None),
    )


def _first_fold_after(month: str, fold_months: int) -> str:
    """First month of the first fold that begins after `month`."""
    number = (int(month[:4]) * 12 + int(month[5:]) - 1) // fold_months * fold_months + fold_months
    return f"{number // 12}-{number % 12 + 1:02d}"


def fold_of(folds: dg.PartitionsDefinition, month: str) -> str | None:
    """The fold that a month lies in; None before the first one."""
    begun = [name for name in folds.get_partition_keys() if first_month(name) <= month]
    return begun[-1] if begun and months_of(fold(begun[-1]))[-1] >= month else None


def first_month(name: str) -> str:
    """First month of a fold."""
    return f"{fold(name).test_start:%Y-%m}"


def months_of(span: Fold) -> list[str]:
    """The months of a fold's test."""
    return [f"{span.test_start.year}-{month:02d}" for month in range(span.test_start.month, span.test_end.month + 1)]


def months_a_partition(definition: dg.PartitionsDefinition) -> int:
    """How many months a partition spans: 1, or those of a fold."""
    if isinstance(definition, dg.MonthlyPartitionsDefinition):
        return 1
    assert isinstance(definition, dg.TimeWindowPartitionsDefinition)  # months and folds are all that there are
    return CADENCE_MONTHS["year" if definition.fmt == "%Y" else "quarter"]


def month_span(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> tuple[date, date]:
    """First and last calendar day of the months (or the year) that a run covers."""
    window = context.partition_time_window
    return window.start.date(), date.fromordinal(window.end.date().toordinal() - 1)
