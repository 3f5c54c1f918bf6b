"""Walk-forward folds: one a calendar year, trained on the years before it, purged and embargoed.

A row may train a fold only when the *end of its label window* lies before the fold starts less an embargo; the date of
the row alone is not enough. What is fitted on the rows is no business of this file.

Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7 (purging and embargo).
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from quant_core.calendar import sessions
from quant_core.errors import DataError, LookaheadError

TRAIN_YEARS = 5
EMBARGO_SESSIONS = 5


@dataclass(frozen=True)
class Fold:
    """One out-of-sample year and the span that may train for it; every bound is included."""

    year: int
    train_start: date
    train_end: date  # last date on which a label window may end, before the embargo is taken off
    test_start: date
    test_end: date


def fold(year: int, train_years: int = TRAIN_YEARS) -> Fold:
    """The fold that is tested in `year` and trained on the `train_years` calendar years before it."""
    if train_years < 1:
        raise DataError(f"fold {year}: train_years is {train_years}, wanted at least 1; set it in the profile.")
    return Fold(
        year=year,
        train_start=date(year - train_years, 1, 1),
        train_end=date(year - 1, 12, 31),
        test_start=date(year, 1, 1),
        test_end=date(year, 12, 31),
    )


def embargo_start(fold: Fold, embargo_sessions: int = EMBARGO_SESSIONS) -> date:
    """First date on which no training label window may end any more.

    It is the first of the last `embargo_sessions` sessions before the fold, or the fold's own start for no embargo.
    """
    if embargo_sessions < 0:
        raise DataError(
            f"fold {fold.year}: embargo_sessions is {embargo_sessions}, wanted 0 or more; set it in the profile."
        )
    if embargo_sessions == 0:
        return fold.test_start
    span = timedelta(days=2 * embargo_sessions + 30)  # holidays and weekends never take half of the days
    return sessions(fold.test_start - span, fold.test_start - timedelta(days=1))[-embargo_sessions]


def purge(rows: pl.DataFrame, fold: Fold, embargo_sessions: int = EMBARGO_SESSIONS) -> pl.DataFrame:
    """Rows that may train `fold`: dated from train_start on, label window ended before the embargo starts.

    Args:
        rows: any frame with `date` and `label_end_date`; a null `label_end_date` has no known end and is left out.
    """
    limit = embargo_start(fold, embargo_sessions)
    return rows.filter((pl.col("date") >= fold.train_start) & (pl.col("label_end_date") < limit))


def assert_purged(rows: pl.DataFrame, fold: Fold, embargo_sessions: int = EMBARGO_SESSIONS) -> None:
    """Raise unless every label window of `rows` ends before the fold starts less the embargo.

    Raises:
        LookaheadError: names the first offending row; a null `label_end_date` offends, for its end is unknown.
    """
    limit = embargo_start(fold, embargo_sessions)
    late = rows.filter(pl.col("label_end_date").is_null() | (pl.col("label_end_date") >= limit))
    if late.is_empty():
        return
    keys = [name for name in ("ticker", "date", "label_end_date") if name in rows.columns]
    first = " ".join(map(str, late.select(keys).row(0)))
    raise LookaheadError(
        f"fold {fold.year}: {late.height} training rows have a label window that ends on or after {limit} "
        f"({embargo_sessions} sessions before {fold.test_start}); first ({', '.join(keys)}): {first}; "
        "pass the rows through folds.purge before fitting."
    )
