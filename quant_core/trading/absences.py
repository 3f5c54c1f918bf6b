"""Sessions without a price: of the market as a whole, and of a name for so long that it is gone."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar
from quant_core.dense import Flags
from quant_core.schema import EQUITY

LONGEST_OUTAGE = 5  # sessions in a row on which some stocks have prices and most do not; then it is the new normal


def outages(prices: pl.DataFrame, days: Sequence[date]) -> Flags:
    """(T,) sessions of `days` on which the market as a whole has no prices.

    Those on which no stock has a price, or fewer than half as many as in the last session that was no outage; the
    latter for LONGEST_OUTAGE sessions in a row at most. Where only one stock has prices there is no market to judge by.

    Args:
        prices: CleanPrices of every name there is.
        days: consecutive sessions; those of `prices` before them are the past that the first ones are judged by.
    """
    counts = prices.filter(pl.col("instrument") == EQUITY, ~pl.col("is_filled")).group_by("date").len()
    n_priced = dict(counts.iter_rows())
    first = min([days[0], *n_priced])
    found, usual, run = {}, 0, 0
    for day in calendar.sessions(first, days[-1]):
        n = n_priced.get(day, 0)
        found[day] = usual > 1 and (n == 0 or (2 * n < usual and run < LONGEST_OUTAGE))
        usual, run = (usual, run + 1) if found[day] else (n, 0)
    return np.array([found[day] for day in days], dtype=np.bool_)


def delistings(
    absent: Flags, after: int, first: int, counted: Flags | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows counted from `first`, columns) of the sessions on which a name has been without a price for `after` rows.

    Args:
        absent: (T, N) no price in the session; a name before its first price is not delisted.
        counted: (T, N) sessions that count; by default all.
    """
    if after < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    listed = np.cumsum(~absent, axis=0) > 0
    counts = absent & listed if counted is None else absent & listed & counted
    run, events = np.zeros(absent.shape[1], np.int64), []
    for t in range(absent.shape[0]):
        run = np.where(absent[t], run + counts[t], 0)
        columns = np.flatnonzero(counts[t] & (run == after))
        if t >= first:
            events += [(t - first, column) for column in columns]
    rows, names = zip(*events, strict=True) if events else ((), ())
    return np.array(rows, dtype=np.int64), np.array(names, dtype=np.int64)
