"""On which days a benchmark is known: what is measured against it is measured there, and nowhere against zeros."""

import polars as pl

from quant_core.schema import CARRIED, NO_SERIES


def known_days(benchmark: pl.DataFrame) -> pl.DataFrame:
    """Rows of a BenchmarkReturns table from the index's first value to its last one; its first only opens the curve.

    Days in between without a value have a return of 0 and the next one spans them; after the last one nothing is known.

    Args:
        benchmark: BenchmarkReturns; a table without `series` is known throughout.
    """
    rows = benchmark.sort("date")
    if "series" not in rows.columns:
        return rows
    has_value = (pl.col("series") != NO_SERIES) & ~pl.col("series").str.ends_with(CARRIED)
    valued = rows.filter(has_value)["date"]
    if valued.is_empty():
        return rows.clear()
    return rows.filter(pl.col("date").is_between(valued.min(), valued.max()))
