"""Panel arrays to long columns, sorted by date then ticker; only cells that have a row."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.features.panel import Panel


@dataclass(frozen=True)
class Part:
    """Some of the panel's tickers, neighbours in its order.

    Args:
        begin, end: the first of them and the one after the last.
        first_row: (sessions,) row of the first of them in each kept session.
        counts: (sessions,) how many of them are listed in each kept session.
    """

    begin: int
    end: int
    first_row: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Melter:
    """Where each cell of a panel goes.

    Args:
        first: first session column that is kept.
        whole: all tickers.
        parts: the same tickers in the parts in which the panel is worked through.
    """

    panel: Panel
    first: int
    whole: Part
    parts: list[Part]

    @property
    def height(self) -> int:
        """Rows of the long table."""
        return int(self.whole.counts.sum())

    def write(self, values: NDArray[Any], out: NDArray[Any], part: Part | None = None) -> None:
        """Copy the panel's cells to their rows of `out`, or only those of one part."""
        from quant_core.features import day_kernels

        of = part or self.whole
        listed = self.panel.listed[of.begin : of.end]
        day_kernels.melt(values, listed, self.first, of.first_row, of.counts, out)

    def keys(self) -> list[pl.Series]:
        """The columns date, ticker and is_eligible."""
        index = np.arange(len(self.panel.tickers), dtype=np.uint32)
        rows = np.empty(self.height, dtype=np.uint32)
        self.write(np.ascontiguousarray(np.broadcast_to(index[:, None], self.panel.listed.shape)), rows)
        eligible = np.empty(self.height, dtype=np.bool_)
        self.write(self.panel.eligible, eligible)
        days = np.repeat(np.array(self.panel.days[self.first :], dtype="datetime64[D]"), self.whole.counts)
        tickers = self.panel.tickers.gather(pl.Series(rows)).alias("ticker")
        return [pl.Series("date", days, dtype=pl.Date), tickers, pl.Series("is_eligible", eligible)]


def melter_from(panel: Panel, start: date, n_parts: int) -> Melter:
    """What turns the panel's (N, T) arrays into long columns for sessions from `start` on, in about `n_parts` parts."""
    first = int(np.searchsorted(np.array(panel.days, dtype="datetime64[D]"), np.datetime64(start)))
    n_tickers = len(panel.tickers)
    size = -(-n_tickers // n_parts)
    bounds = [(begin, min(begin + size, n_tickers)) for begin in range(0, n_tickers, size)]
    counts = np.array([panel.listed[a:b, first:].sum(axis=0, dtype=np.int64) for a, b in bounds])  # (parts, T)
    of_day = counts.sum(axis=0)
    first_row = np.cumsum(of_day) - of_day
    rows = first_row + np.cumsum(counts, axis=0) - counts  # (parts, T)
    parts = [Part(*pair, rows[k], counts[k]) for k, pair in enumerate(bounds)]
    return Melter(panel, first, Part(0, n_tickers, first_row, of_day), parts)
