"""Measures of what was held: invested share, concentration, holding period. Returns are measured in `performance`."""

import math

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from quant_core.errors import DataError
from quant_core.measures.risk import FLAT, finite_series


def invested_share(cash_inr: ArrayLike, equity_inr: ArrayLike) -> np.ndarray:
    """(T,) holdings over equity, clipped to 0..1: 1 less the share of cash; 0 for an account that is worth nothing."""
    cash, equity = np.asarray(cash_inr, dtype=np.float64), np.asarray(equity_inr, dtype=np.float64)
    share = 1.0 - np.divide(cash, equity, out=np.ones_like(equity), where=equity != 0.0)
    return np.clip(share, 0.0, 1.0)


def exposure(invested_share: ArrayLike) -> float:
    """Mean over sessions of holdings over equity, 1 less the share of cash."""
    return float(finite_series(invested_share, "invested shares").mean())


def average_holding_sessions(turnover_1d: ArrayLike, invested_share: ArrayLike = 1.0) -> float:
    """Sessions that invested money stays in a name: mean invested share over mean one-way turnover a session.

    Args:
        turnover_1d: (T,) half the sum of absolute weight changes, cash included.
        invested_share: holdings over equity, one number or one a session.
    Returns:
        NaN without turnover. Selling and buying the whole book once in 20 sessions gives 20.
    """
    traded = float(finite_series(turnover_1d, "turnover").mean())
    held = float(finite_series(np.atleast_1d(np.asarray(invested_share, dtype=np.float64)), "invested shares").mean())
    return held / traded if traded > FLAT else math.nan


def concentration(positions: pl.DataFrame) -> pl.DataFrame:
    """How unevenly the invested money was spread, by session.

    Args:
        positions: BacktestPositions; reads `weight`.
    Returns:
        rows (date, strategy) of the sessions with holdings: `n_holdings`, `invested_share` (sum of weights),
        `largest_weight` and `hhi`, the Herfindahl-Hirschman index (sum of squares), both of weights over the invested
        share, and `effective_names` = 1 / hhi (N for N equal holdings).
    """
    bad = positions.filter(~(pl.col("weight").is_finite() & (pl.col("weight") > 0.0)).fill_null(False))
    if bad.height:
        raise DataError(
            f"concentration: weight of {bad.row(0, named=True)} ({bad.height} such rows); wanted a positive number, "
            "a name without weight has no row."
        )
    weight = pl.col("weight")
    table = (
        positions.group_by("date", "strategy", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int32).alias("n_holdings"),
            weight.sum().alias("invested_share"),
            (weight.max() / weight.sum()).alias("largest_weight"),
            ((weight**2).sum() / weight.sum() ** 2).alias("hhi"),
        )
        .with_columns((1.0 / pl.col("hhi")).alias("effective_names"))
    )
    return table.sort("date", "strategy")
