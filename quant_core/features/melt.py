"""Panel arrays to long columns, sorted by date then ticker; only cells that have a row."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.features.panel import Panel


@dataclass(frozen=True)
class Melter:
    """Where each cell of a panel goes.

    Args:
        begin: first session column that is kept.
        counts: listed tickers in each kept session.
        first_row: row of each kept session's first ticker.
        chunks: (first ticker, end ticker) of the parts in which the panel is worked through.
        chunk_rows: for each part, the row of its first ticker in each kept session.
    """

    panel: Panel
    begin: int
    counts: NDArray[np.int64]
    first_row: NDArray[np.int64]
    chunks: list[tuple[int, int]]
    chunk_rows: list[NDArray[np.int64]]

    @property
    def height(self) -> int:
        """Rows of the long table."""
        return int(self.counts.sum())

    def write(self, values: NDArray[Any], out: NDArray[Any], chunk: int | None = None) -> None:
        """Copy the panel's cells to their rows of `out`, or only those of one part."""
        from quant_core.features import day_kernels

        if chunk is None:
            day_kernels.melt(values, self.panel.listed, self.begin, self.first_row, out)
        else:
            begin, end = self.chunks[chunk]
            day_kernels.melt(values, self.panel.listed[begin:end], self.begin, self.chunk_rows[chunk], out)

    def keys(self) -> list[pl.Series]:
        """The columns date, ticker and is_eligible."""
        index = np.arange(len(self.panel.tickers), dtype=np.uint32)
        rows = np.empty(self.height, dtype=np.uint32)
        self.write(np.ascontiguousarray(np.broadcast_to(index[:, None], self.panel.listed.shape)), rows)
        eligible = np.empty(self.height, dtype=np.bool_)
        self.write(self.panel.eligible, eligible)
        days = np.repeat(np.array(self.panel.days[self.begin :], dtype="datetime64[D]"), self.counts)
        tickers = self.panel.tickers.gather(pl.Series(rows)).alias("ticker")
        return [pl.Series("date", days, dtype=pl.Date), tickers, pl.Series("is_eligible", eligible)]


def melter_from(panel: Panel, start: date, tickers_per_chunk: int) -> Melter:
    """What turns the panel's (N, T) arrays into long columns for sessions from `start` on."""
    begin = int(np.searchsorted(np.array(panel.days, dtype="datetime64[D]"), np.datetime64(start)))
    n_tickers = len(panel.tickers)
    chunks = [(n, min(n + tickers_per_chunk, n_tickers)) for n in range(0, n_tickers, tickers_per_chunk)]
    parts = np.array([panel.listed[a:b, begin:].sum(axis=0, dtype=np.int64) for a, b in chunks])  # (chunks, T)
    counts = parts.sum(axis=0)
    first_row = np.cumsum(counts) - counts
    before = np.cumsum(parts, axis=0) - parts
    return Melter(panel, begin, counts, first_row, chunks, [first_row + rows for rows in before])
