"""From long rows to dense arrays: one row a day, one column a name, and where each long row stands in them.

What belongs here: the way there, for whatever computes on (T, N) arrays. What does not: what a column means, and the
features' panel, whose rows are names (`features.panel`).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.errors import DataError

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Where R long rows stand in a (T, N) array.

    Args:
        row, column: (R,) the day and the name of each.
        shape: (T, N).
    """

    row: Integers
    column: Integers
    shape: tuple[int, int]

    def present(self) -> Flags:
        """(T, N) whether there is a row."""
        panel = np.zeros(self.shape, dtype=np.bool_)
        panel[self.row, self.column] = True
        return panel

    def floats(self, values: pl.Series, empty: float = np.nan) -> Floats:
        """(T, N) of (R,) numbers: NaN for null, `empty` where there is no row."""
        panel = np.full(self.shape, empty)
        panel[self.row, self.column] = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return panel

    def flags(self, values: pl.Series) -> Flags:
        """(T, N) of (R,) truths: False for null and where there is no row."""
        panel = np.zeros(self.shape, dtype=np.bool_)
        panel[self.row, self.column] = values.fill_null(False).to_numpy()
        return panel

    def at(self, panel: Floats) -> pl.Series:
        """(R,) the way back: what a (T, N) array says of each row, null for NaN."""
        return pl.Series(panel[self.row, self.column]).fill_nan(None)


def cells(rows: pl.DataFrame, days: pl.Series, names: pl.Series, where: str, key: str = "ticker") -> Cells:
    """The cell of each of `rows`.

    Args:
        rows: columns date and `key`, in any order.
        days: (T,) dates, ascending.
        names: (N,) names in any order, among them each of `rows`.
        where: what the reader knows the rows as; begins an error.
    Raises:
        DataError: a row on none of the days, or two rows in one cell.
    """
    row = days.search_sorted(rows["date"]).to_numpy().astype(np.int64)
    on_day = np.zeros(len(row), dtype=np.bool_)
    on_day[row < len(days)] = (days.gather(row[row < len(days)]) == rows["date"].filter(row < len(days))).to_numpy()
    if not on_day.all():
        stray = rows.filter(~on_day).sort("date", key).row(0, named=True)
        raise DataError(
            f"{where}: {stray[key]} has a row on {stray['date']}, which is no NSE session "
            f"({int((~on_day).sum())} such rows); clean the month again."
        )
    column = rows[key].cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
    found = Cells(row, column, (len(days), len(names)))
    if np.count_nonzero(found.present()) != len(row):
        twice = rows.filter(rows.select("date", key).is_duplicated()).sort("date", key).row(0, named=True)
        raise DataError(f"{where}: {twice[key]} {twice['date']} repeats; wanted one row a name and date.")
    return found
