"""Values by the day from which they hold: which row of such a table is in force on which session."""

from collections.abc import Sequence
from datetime import date

import numpy as np

from quant_core.dense import Integers
from quant_core.errors import DataError


def session_ordinals(sessions: Sequence[date], where: str) -> Integers:
    """(T,) proleptic day numbers of sessions in order.

    Raises:
        DataError: no session, or one that is not after the session before it.
    """
    if not sessions:
        raise DataError(f"{where}: no sessions; wanted at least one date.")
    days = np.array([day.toordinal() for day in sessions], np.int64)
    if (np.diff(days) <= 0).any():
        row = int(np.argmax(np.diff(days) <= 0))
        raise DataError(
            f"{where}: {sessions[row + 1]} follows {sessions[row]}; wanted sessions in order, each once; sort them."
        )
    return days


def rows_in_force(first_days: Sequence[date], days: Integers) -> Integers:
    """(T,) the last row whose first day is not after each day; -1 before the first row."""
    starts = np.array([day.toordinal() for day in first_days], np.int64)
    return np.searchsorted(starts, days, side="right") - 1
