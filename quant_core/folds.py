"""Walk-forward folds: one a calendar year or quarter, trained on the years before it, purged and embargoed.

A row may train a fold only when the *end of its label window* lies before the fold starts less an embargo; the date of
the row alone is not enough. What is fitted on the rows is no business of this file.

Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7 (purging and embargo).
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import polars as pl

from quant_core.calendar import sessions
from quant_core.errors import DataError, LookaheadError

TRAIN_YEARS = 5
EMBARGO_SESSIONS = 5

Cadence = Literal["year", "quarter"]
#: Months of a fold.
CADENCE_MONTHS: dict[Cadence, int] = {"year": 12, "quarter": 3}
_NAME = re.compile(r"(\d{4})(?:-(01|04|07|10))?")


@dataclass(frozen=True)
class Fold:
    """One out-of-sample span and the span that may train for it; every bound is included."""

    name: str  # "2021", or "2021-07" for the quarter that begins in July
    train_start: date
    train_end: date  # last date on which a label window may end, before the embargo is taken off
    test_start: date
    test_end: date


def fold(name: str, train_years: int = TRAIN_YEARS) -> Fold:
    """The fold of that name, trained on the `train_years` years before its first day.

    Args:
        name: "YYYY" for a calendar year, "YYYY-MM" for the quarter that begins in month MM.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise DataError(f"fold {name!r}: wanted a year YYYY, or a quarter's first month YYYY-MM (01, 04, 07, 10).")
    if train_years < 1:
        raise DataError(f"fold {name}: train_years is {train_years}, wanted at least 1; set it in the profile.")
    year, month = int(parts[1]), int(parts[2] or 1)
    months = CADENCE_MONTHS["quarter" if parts[2] else "year"]
    after = date(year + (month + months > 12), (month + months - 1) % 12 + 1, 1)
    start, day = date(year, month, 1), timedelta(days=1)
    return Fold(name, date(year - train_years, month, 1), start - day, start, after - day)


def embargo_start(fold: Fold, embargo_sessions: int = EMBARGO_SESSIONS) -> date:
    """First date on which no training label window may end any more.

    It is the first of the last `embargo_sessions` sessions before the fold, or the fold's own start for no embargo.
    """
    if embargo_sessions < 0:
        raise DataError(
            f"fold {fold.name}: embargo_sessions is {embargo_sessions}, wanted 0 or more; set it in the profile."
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
        f"fold {fold.name}: {late.height} training rows have a label window that ends on or after {limit} "
        f"({embargo_sessions} sessions before {fold.test_start}); first ({', '.join(keys)}): {first}; "
        "pass the rows through folds.purge before fitting."
    )
