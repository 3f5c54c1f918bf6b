"""From long rows to what networks read: one dense (names, sessions, inputs) panel, and where a row stands in it."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.calendar import sessions
from quant_core.dense import Floats32, Integers


class Panel(NamedTuple):
    """Every name on every session.

    Args:
        values: (N, T, F) inputs, NaN where there is no row or no value.
        days: (T,) sessions from the first row's to the last one's, none left out.
        names: (N,) tickers.
    """

    values: Floats32
    days: pl.Series
    names: pl.Series

    def place(self, keys: pl.DataFrame) -> tuple[Integers, Integers]:
        """(R,) name and day of each of the rows (date, ticker), as positions in `values`."""
        found = dense.cells(keys, self.days, self.names, "labels")
        return found.column.copy(), found.row.copy()


def input_panel(rows: pl.DataFrame, columns: Sequence[str]) -> Panel:
    """The panel of `columns`.

    Args:
        rows: at least one row (date, ticker) and the columns.
    Raises:
        DataError: a row on no session, or two rows of a name and date.
    """
    first, last = rows["date"].min(), rows["date"].max()
    assert isinstance(first, date)  # rows are never empty here
    assert isinstance(last, date)
    days, names = pl.Series(sessions(first, last), dtype=pl.Date), rows["ticker"].unique().sort()
    cells = dense.cells(rows, days, names, "features")
    values = np.empty((len(names), len(days), len(columns)), dtype=np.float32)
    for k, column in enumerate(columns):
        values[:, :, k] = cells.floats(rows[column]).T
    return Panel(values, days, names)
