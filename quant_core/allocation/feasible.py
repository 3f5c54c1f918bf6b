"""Whether an account could hold what was decided: the limits of weights, checked on the finished table."""

import polars as pl

from quant_core.allocation.config import AllocationConfig
from quant_core.schema import CASH

TOLERANCE = 1e-9


def infeasible(table: pl.DataFrame, limits: AllocationConfig) -> pl.DataFrame:
    """Decisions that no account could hold, or that break the limits of the run that made them.

    Args:
        table: TargetWeights.
        limits: of them, max_position and index_ticker.
    Returns:
        rows (date, strategy, total, smallest, largest) of the decisions whose weights exceed 1 in all, fall below 0 or,
        in one stock, exceed max_position.
    """
    weight, is_stock = pl.col("weight"), ~pl.col("ticker").is_in([CASH, limits.index_ticker])
    rows = table.sort("date", "strategy", "ticker")
    books = rows.group_by("date", "strategy", maintain_order=True).agg(
        total=weight.sum(), smallest=weight.min(), largest=weight.filter(is_stock).max()
    )
    return books.filter(
        (pl.col("total") > 1 + TOLERANCE)
        | (pl.col("smallest") < 0)
        | (pl.col("largest") > limits.max_position + TOLERANCE)
    ).sort("date", "strategy")
